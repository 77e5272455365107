import { emptyRequest, IOREQ_TYPE_COPY, IoreqPage } from '@node-vmm/ioreq-eventfd';
import { STATE_IORESP_READY } from '@node-vmm/ioreq-eventfd/page';
import { STATE_IOREQ_NONE, STATE_IOREQ_READY } from '@node-vmm/xen-sys';
import { describe, expect, it } from 'vitest';

const REQUEST = { ...emptyRequest(), count: 1, size: 8, type: IOREQ_TYPE_COPY, isRead: true };

describe('the page of requests', () => {
  it('gives a value of 64 bits as it is, to its own vCPU', () => {
    const page = new IoreqPage(new ArrayBuffer(4096), 2);
    const values = [0x8000_0001_ffff_fffen, 0xffff_ffffn];
    for (const vcpu of [0, 1]) page.submit(vcpu, REQUEST);
    for (const [vcpu, value] of values.entries()) {
      expect(page.take(vcpu, emptyRequest())).toBe(true);
      page.setData(vcpu, value);
      page.complete(vcpu);
    }
    expect(values.map((_, vcpu) => page.collect(vcpu))).toEqual(values);
  });

  it('is taken over from whoever ended at any point of a request', () => {
    const page = new IoreqPage(new ArrayBuffer(4096), 4);
    const [posted, taken, answered, idle] = [0, 1, 2, 3];
    for (const vcpu of [posted, taken, answered]) page.submit(vcpu, REQUEST);
    for (const vcpu of [taken, answered]) page.take(vcpu, emptyRequest());
    page.setData(answered, 7n);
    page.complete(answered);
    const told: number[] = [];
    page.takeOver((vcpu) => told.push(vcpu));
    expect(told).toEqual([answered]);
    const states = [posted, taken, answered, idle].map((vcpu) => page.state(vcpu));
    expect(states).toEqual([
      STATE_IOREQ_READY,
      STATE_IOREQ_READY,
      STATE_IORESP_READY,
      STATE_IOREQ_NONE,
    ]);
    expect(page.collect(answered)).toBe(7n);
  });
});
