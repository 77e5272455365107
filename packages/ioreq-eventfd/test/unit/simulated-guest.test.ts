import { emptyRequest, IoreqPage } from '@node-vmm/ioreq-eventfd';
import { SimulatedGuest, SimulatedVm } from '@node-vmm/ioreq-eventfd/simulated';
import { asFd, MainPoller, Mapping, PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const DEVICE = { base: 0x200_0000n };

// Whole guests, with devices and drivers, are in the tests of virtio-driver.
describe('SimulatedGuest', () => {
  let poller: MainPoller;
  let vm: SimulatedVm;
  beforeEach(() => {
    poller = new MainPoller();
    vm = SimulatedVm.create({ poller }, { vcpus: 2 });
  });
  afterEach(() => {
    vm.close();
    poller.close();
  });

  it('gives up when nobody serves its accesses', () => {
    const { machine: description, fds } = vm.guestResources();
    using guest = new SimulatedGuest(description, fds, { timeout: 20 });
    expect(() => guest.read(DEVICE.base, 4)).toThrow(expect.objectContaining({ code: 'TIMEOUT' }));
    expect(guest.waitInterrupt(33, 1)).toBe(false);
    expect(() => guest.waitInterrupt(99, 1)).toThrow(RangeError);
  });

  it('does not take the late answer of an access that it gave up for that of the next', () => {
    const { machine: description, fds } = vm.guestResources();
    using guest = new SimulatedGuest(description, fds, { timeout: 20 });
    const fd = asFd(fds[description.ioreqPageFd] as number);
    using mapping = Mapping.create({ length: PAGE_SIZE, fd });
    const page = new IoreqPage(mapping.buffer(), description.vcpus.length);
    const access = emptyRequest();
    const late = (value: bigint): void => {
      expect(page.take(0, access)).toBe(true);
      page.setData(0, value);
      page.complete(0);
    };
    expect(() => guest.read(DEVICE.base, 4)).toThrow(expect.objectContaining({ code: 'TIMEOUT' }));
    // Not answered yet: the next must not take its place in the page.
    expect(() => guest.read(DEVICE.base + 8n, 4)).toThrow(
      expect.objectContaining({ code: 'TIMEOUT' }),
    );
    late(0x1111n);
    expect(access.addrLow).toBe(Number(DEVICE.base));
    expect(() => guest.read(DEVICE.base + 8n, 4)).toThrow(
      expect.objectContaining({ code: 'TIMEOUT' }),
    );
    late(0x2222n);
    expect(access.addrLow).toBe(Number(DEVICE.base) + 8);
  });

  it('leaves nothing open when it cannot be made', () => {
    const { machine: description, fds } = vm.guestResources();
    expect(() => new SimulatedGuest(description, fds.slice(0, 3))).toThrow(RangeError);
    expect(() => new SimulatedGuest(description, fds, { vcpu: 2 })).toThrow(RangeError);
  });
});
