import { afterEach, describe, expect, it } from 'vitest';
import {
  asDomId,
  IOREQ,
  type IoServId,
  STATE_IORESP_READY,
  type XenHost,
} from '../../src/index.ts';
import { type FakeDomain, FakeXen } from '../../src/testing/index.ts';

const dom = asDomId(1);
const WINDOW = { type: 'memory', start: 0x200_0000n, end: 0x200_01ffn } as const;

describe('FakeDomain', () => {
  let fake: FakeXen;
  let domain: FakeDomain;
  let xen: XenHost;
  afterEach(() => fake.close());

  const start = (): void => {
    fake = new FakeXen();
    domain = fake.addDomain(1);
    xen = fake.host();
  };
  /** A server that claims the window. */
  const server = (): IoServId => {
    const model = xen.deviceModel(dom);
    const id = model.createIoreqServer();
    model.mapIoRangeToIoreqServer(id, WINDOW);
    model.setIoreqServerState(id, true);
    return id;
  };
  /** Which server an access reaches. */
  const reached = (): IoServId | undefined => {
    const access = domain.access({ address: WINDOW.start, size: 4 });
    if (access.done) return undefined;
    for (const [id, { page, ports }] of domain.servers) {
      if (IOREQ.getBig(page, 0, 'addr') !== WINDOW.start) continue;
      IOREQ.set(page, 0, 'addr', 0n);
      page.setUint8(IOREQ.OFFSETS.bits, STATE_IORESP_READY);
      ports[0]?.onNotify?.();
      return id;
    }
    throw new Error('the access is nowhere');
  };

  it('gives a range that several servers claim to the one with the highest id, as Xen does', () => {
    start();
    const model = xen.deviceModel(dom);
    const [first, second, third] = [server(), server(), server()];
    expect(reached()).toBe(third);
    model.setIoreqServerState(third, false);
    expect(reached()).toBe(second);
    // The lowest free id is given out: the newest server need not be the one with the highest.
    model.destroyIoreqServer(first);
    expect(server()).toBe(first);
    expect(reached()).toBe(second);
    model.unmapIoRangeFromIoreqServer(second, WINDOW);
    expect(reached()).toBe(first);
  });
});
