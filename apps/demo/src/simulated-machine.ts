// The demo without a hypervisor: a simulated one in place of Xen, and a guest that is a process.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { SimulatedVm } from '@node-vmm/ioreq-eventfd/simulated';
import {
  Bridge,
  type DeviceDescription,
  FixedSockets,
  SpawnedBackends,
} from '@node-vmm/vhost-bridge';
import { EXIT_FAILURE, EXIT_OK } from '@node-vmm/vhost-device-cli';
import { VIRTIO_ID_I2C_ADAPTER } from '@node-vmm/virtio-bindings';
import { hex, MainPoller } from '@node-vmm/vmm-sys-util';
import { comesUp, GIVE_UP_MS } from './comes-up.ts';
import { daemonCommand } from './daemons.ts';
import type { DemoParts } from './demo.ts';

const DEVICE: DeviceDescription = {
  key: '1/0',
  guest: 1,
  deviceId: VIRTIO_ID_I2C_ADAPTER,
  base: 0x0200_0000n,
  irq: 33,
};

function runGuest(vm: SimulatedVm): { guest: ChildProcess; status: Promise<number> } {
  const { machine, fds } = vm.guestResources([DEVICE]);
  const program = fileURLToPath(new URL('./guest.js', import.meta.url));
  const guest = spawn(process.execPath, [program, JSON.stringify(machine)], {
    stdio: ['ignore', 'inherit', 'inherit', ...fds],
    timeout: GIVE_UP_MS,
  });
  const status = once(guest, 'exit').then(([code]) => (code as number | null) ?? EXIT_FAILURE);
  return { guest, status };
}

/** The demo without a hypervisor. @returns the exit code */
export async function demoOnSimulation({
  narrator,
  logger,
  signals,
  stay,
  watch,
}: DemoParts): Promise<number> {
  using poller = new MainPoller();
  const vm = SimulatedVm.create({ poller, logger });
  const [ram] = vm.memory.regions;
  narrator.say(
    `a simulated machine: ${(ram?.length ?? 0) >> 20} MiB of RAM in a memfd at ${hex(ram?.guestAddr ?? 0)}, an ioreq page, eventfds as event channels`,
  );
  const sockets = new SpawnedBackends(
    new Map([['i2c', daemonCommand('i2c', '--simulate')]]),
    new FixedSockets(new Map()),
    logger,
  );
  const bridge = new Bridge({
    attachVm: () => ({
      vm,
      memory: Promise.resolve(vm.memory),
      counters: () => ({
        ...vm.counters,
        ...vm.memoryBus,
        interrupts: vm.interrupts,
      }),
      held: () => vm.held,
    }),
    sockets,
    poller,
    logger,
  });
  try {
    using _watch = await watch(bridge, sockets);
    narrator.say('starting vhost-device-i2c --simulate and connecting to its vhost-user socket');
    if (!(await comesUp(bridge.add(DEVICE), signals.ended))) return EXIT_OK;
    narrator.say(
      `features negotiated, guest memory shared; virtio-mmio I2C adapter at ${hex(DEVICE.base)}, interrupt ${DEVICE.irq}`,
    );
    narrator.say('starting the guest, a process of its own');
    const { guest, status: ended } = runGuest(vm);
    void signals.ended.then(() => guest.kill('SIGKILL'));
    const exitCode = await ended;
    if (signals.ending) return EXIT_OK;
    const { memory: bus } = vm.buses;
    narrator.say(
      `served ${bus.counters.reads} register reads and ${bus.counters.writes} writes, ${bus.counters.ioeventfds} of them notifications that went to the daemon as eventfds`,
    );
    if (stay && exitCode === EXIT_OK) {
      narrator.say('the machine stays until Ctrl-C');
      await signals.ended;
    }
    return exitCode;
  } finally {
    await bridge.close();
    sockets.close();
    vm.close();
    narrator.say('everything is closed');
  }
}
