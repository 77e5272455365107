// Kills the thread of a pool of one, again and again, and says as JSON how many milliseconds pass each time, from there
// to the answer of the thread that comes in its place. Argument: how often.
import { SimulatedVm } from '@node-vmm/ioreq-eventfd/simulated';
import { SimulatedTestGuest } from '@node-vmm/ioreq-eventfd/testing';
import { VIRTIO_MMIO_WINDOW_SIZE } from '@node-vmm/virtio-device';
import { DispatchedDevice, DispatchPool } from '@node-vmm/vm-dispatch';
import { KillableThreads } from '@node-vmm/vm-dispatch/testing';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { quietDevice } from './device.ts';
import { BASE } from './guests.ts';

const IRQ = 33;
/** Of a third within a minute a guest is the reason, for the pool. */
const DEATHS = 2;

const [times = 0] = process.argv.slice(2).map(Number);
const measured: number[] = [];
using poller = new MainPoller();
while (measured.length < times) {
  using threads = new KillableThreads();
  await using pool = await DispatchPool.start({ poller }, { threads: 1 });
  using vm = SimulatedVm.create({ poller, host: pool });
  const device = new DispatchedDevice(quietDevice, { irq: IRQ });
  vm.map({ space: 'memory', base: BASE, length: VIRTIO_MMIO_WINDOW_SIZE }, device);
  using guest = new SimulatedTestGuest(vm.guestResources());
  await guest.read(BASE, 4);
  for (let i = 0; i < DEATHS && measured.length < times; i++) {
    const begun = performance.now();
    const killed = threads.kill();
    // It blocks, and dies when it is woken.
    device.queueInterrupt();
    await killed;
    await guest.read(BASE, 4);
    measured.push(performance.now() - begun);
  }
}
process.stdout.write(JSON.stringify(measured));
