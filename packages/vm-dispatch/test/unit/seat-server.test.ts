import {
  emptyRequest,
  IOREQ_TYPE_COPY,
  type IoreqRequest,
  LateValue,
} from '@node-vmm/ioreq-eventfd';
import * as d from '@node-vmm/virtio-device';
import { FakeVirtioDevice } from '@node-vmm/virtio-device/testing';
import { Bus } from '@node-vmm/vm-device';
import { EventFd } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SeatServer } from '../../src/thread/seat-server.ts';
import { SeatWindow } from '../../src/thread/seat-window.ts';

const DEVICE = 0x1000;
const ELSEWHERE = 0x2000;

describe('What a dispatch thread does with a request', () => {
  const memory = new Bus('memory');
  let forwarded: IoreqRequest[];
  let server: SeatServer;
  const unmap: (() => void)[] = [];

  /** @param transport - serves the window here */
  function map(base: number, transport?: d.VirtioMmioTransport): void {
    const range = { space: 'memory', base: BigInt(base), length: 0x200 } as const;
    const window = new SeatWindow(range, false, () => new LateValue());
    window.transport = transport;
    unmap.push(memory.map(range, window));
  }

  beforeEach(() => {
    forwarded = [];
    server = new SeatServer({ memory }, (request) => {
      forwarded.push({ ...request });
      return new LateValue();
    });
    const device = new FakeVirtioDevice();
    map(DEVICE, new d.VirtioMmioTransport(device, { interrupt: () => undefined }));
    map(ELSEWHERE);
  });
  afterEach(() => {
    for (const undo of unmap.splice(0)) undo();
  });

  const of = (addrLow: number, rest: Partial<IoreqRequest>): IoreqRequest => ({
    ...emptyRequest(),
    addrLow,
    count: 1,
    size: 4,
    type: IOREQ_TYPE_COPY,
    ...rest,
  });

  it('reads registers of a device here, once or many times, and asks for those elsewhere', () => {
    const read = { isRead: true };
    const magic = BigInt(d.VIRTIO_MMIO_MAGIC);
    expect(server.run(of(DEVICE, read))).toMatchObject({ value: magic, held: undefined });
    expect(server.run(of(DEVICE, { ...read, count: 2 }))).toMatchObject({ held: undefined });
    expect(forwarded).toEqual([]);
    for (const count of [1, 2]) {
      expect(server.run(of(ELSEWHERE, { ...read, count }))?.held).toBeInstanceOf(LateValue);
    }
    expect(forwarded.map(({ count }) => count)).toEqual([1, 2]);
  });

  it('signals an eventfd for a window of the main thread, which need not be asked', () => {
    using eventfd = EventFd.create();
    unmap.push(
      memory.addIoeventfd(
        { guestAddr: BigInt(ELSEWHERE + 0x50), length: 4, datamatch: 3n },
        eventfd,
      ),
    );
    expect(server.run(of(ELSEWHERE + 0x50, { dataLow: 3 }))?.held).toBeUndefined();
    expect(eventfd.drain()).toBe(true);
    expect(forwarded).toEqual([]);
  });

  it.each([1, 2])('leaves to the main thread what has %d operands in guest memory', (count) => {
    for (const base of [DEVICE, ELSEWHERE]) {
      for (const isRead of [true, false]) {
        const request = of(base, { isRead, count, dataIsPtr: true });
        expect(server.run(request)?.held).toBeInstanceOf(LateValue);
      }
    }
    expect(forwarded).toHaveLength(4);
  });
});
