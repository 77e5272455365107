import { guestImage } from '@node-vmm/bare-metal-guest';
import { Kvm } from '@node-vmm/kvm-sys';
import {
  BARE_METAL,
  DebugConsole,
  ExitPort,
  KvmMachine,
  loadBareMetal,
  type MachineEnd,
} from '@node-vmm/kvm-vm';
import {
  Bridge,
  type DeviceDescription,
  FixedSockets,
  SpawnedBackends,
} from '@node-vmm/vhost-bridge';
import { VIRTIO_ID_GPIO, VIRTIO_ID_I2C_ADAPTER, VIRTIO_ID_RNG } from '@node-vmm/virtio-bindings';
import { type Logger, MainPoller } from '@node-vmm/vmm-sys-util';
import { comesUp } from './comes-up.ts';

const DEVICE_IDS = {
  gpio: VIRTIO_ID_GPIO,
  i2c: VIRTIO_ID_I2C_ADAPTER,
  rng: VIRTIO_ID_RNG,
} as const;

/** Ours: bytes of memory of the guest. */
export const KVM_GUEST_MEMORY = 2 << 20;
/** Ours: the first device's window and input of the I/O APIC; each is in the page behind the last. */
const FIRST = { base: 0xd000_0000, irq: 5, step: 0x1000 } as const;

/** What a guest is to do, with what. */
export interface KvmGuestJob {
  /** Device -> shell command of its back-end. */
  readonly backends: ReadonlyMap<keyof typeof DEVICE_IDS, string>;
  /** Words for the guest. */
  readonly commandLine: string;
  readonly vcpus?: number;
  readonly logger: Logger;
  /** Resolves when the guest is to be ended. */
  readonly ended: Promise<unknown>;
  /** A line that the guest has printed. */
  readonly onLine: (line: string) => void;
  /** The devices are there, and the guest begins. */
  readonly onReady?: (devices: readonly DeviceDescription[]) => void;
  /** Lets the bridge be looked at, until what is returned is closed. */
  readonly watch?: (bridge: Bridge, sockets: SpawnedBackends) => Promise<Disposable>;
  /** What is to happen when the guest has ended and all else is there still. */
  readonly onEnd?: (result: KvmGuestResult) => Promise<void>;
}

/** How it went. */
export interface KvmGuestResult {
  /** Absent when its end was asked for before it ran. */
  readonly end?: MachineEnd;
  /** Accesses that were served in this process. */
  readonly reads: number;
  readonly writes: number;
}

/**
 * Runs the bare-metal guest on /dev/kvm, with a back-end process for each of its devices, to its end.
 *
 * @throws {KvmSysError} {@link KvmMachineError} {@link VhostBridgeError}
 */
export async function runKvmGuest(job: KvmGuestJob): Promise<KvmGuestResult> {
  const { backends, logger } = job;
  using kvm = Kvm.open();
  using poller = new MainPoller();
  const options = { memory: KVM_GUEST_MEMORY, vcpus: job.vcpus ?? 1 };
  const vm = KvmMachine.create({ kvm, poller, logger }, options);
  const sockets = new SpawnedBackends(backends, new FixedSockets(new Map()), logger);
  const attachVm = () => ({
    vm,
    memory: Promise.resolve(vm.memory),
    counters: () => ({
      ...vm.counters,
      ...vm.memoryBus,
      interrupts: vm.interrupts,
    }),
  });
  const bridge = new Bridge({ attachVm, sockets, poller, logger });
  const devices = [...backends.keys()].map((name, i) => ({
    key: `1/${i}`,
    guest: 1,
    deviceId: DEVICE_IDS[name],
    base: BigInt(FIRST.base + FIRST.step * i),
    irq: FIRST.irq + i,
    trigger: 'edge' as const,
  }));
  const port = (base: number) => ({ space: 'port', base: BigInt(base), length: 1 }) as const;
  const console = new DebugConsole(job.onLine);
  try {
    using _watch = await job.watch?.(bridge, sockets);
    vm.map(port(BARE_METAL.CONSOLE_PORT), console);
    vm.map(port(BARE_METAL.EXIT_PORT), new ExitPort((code) => vm.exit(code)));
    const up = Promise.all(devices.map((device) => bridge.add(device)));
    if (!(await comesUp(up, job.ended))) return { reads: 0, writes: 0 };
    job.onReady?.(devices);
    const guest = { image: guestImage(), commandLine: job.commandLine, devices };
    vm.start(loadBareMetal(vm.memory, vm.banks, guest));
    void job.ended.then(() => vm.close());
    const end = await vm.ended;
    console.flush();
    const { reads, writes } = vm.memoryBus;
    const result = { end, reads, writes };
    await job.onEnd?.(result);
    return result;
  } finally {
    await bridge.close();
    sockets.close();
    vm.close();
    await vm.closed;
  }
}
