import * as defs from '@node-vmm/virtio-bindings';
import type { BusHandler, Held } from '@node-vmm/vm-device';
import { errorMessage, type Logger, silentLogger } from '@node-vmm/vmm-sys-util';
import { ConfigAccess } from './config-access.ts';
import { DeviceSession } from './device-session.ts';
import { FaultLog, type TransportCounters } from './faults.ts';
import { InterruptStatus } from './interrupt-status.ts';
import { REGISTERS, type Register, type RegisterContext } from './mmio-registers.ts';
import { RegisterMemory } from './register-memory.ts';
import { type MmioTransportState, transportState } from './transport-state.ts';
import type { VirtioDevice } from './virtio-device.ts';

const U32_MASK = 0xffff_ffffn;
const REGISTER_WIDTH = 4;

/** What the transport needs of its surroundings. */
export interface MmioTransportOptions {
  /**
   * Something new is pending: interrupts the driver, by an edge or by a level that goes low at
   * `interruptsAcknowledged`. Called for each event, and again after an acknowledgement that came
   * too early for some of them.
   */
  readonly interrupt: () => void;
  /** The driver has acknowledged everything that is known, or the device was reset. */
  readonly interruptsAcknowledged?: () => void;
  /**
   * Generation of the configuration, for a device whose configuration changes unseen by this object: added
   * to what `restore` brought. Default: `configChanged` counts.
   */
  readonly configGeneration?: () => number;
  /** Where registers are kept, of as many queues as the device has; default: memory of its own. */
  readonly registers?: RegisterMemory;
  /** Counted there; default: an object of its own. */
  readonly counters?: TransportCounters;
  readonly logger?: Logger;
}

const CONFIG = defs.VIRTIO_MMIO_CONFIG;

/** By offset. */
const REGISTER_AT: readonly (Register | undefined)[] = (() => {
  const table = new Array<Register | undefined>(CONFIG).fill(undefined);
  for (const register of REGISTERS) table[register.offset] = register;
  return table;
})();

const scratch = new ArrayBuffer(BigUint64Array.BYTES_PER_ELEMENT);
const scratchWords = new Uint32Array(scratch);
const scratchValue = new BigUint64Array(scratch);

/** `BigInt(word >>> 0)`, which is a call in the engine's slow path, and a read of any register makes it. */
function wordOf(word: number): bigint {
  scratchWords[0] = word;
  return scratchValue[0] as bigint;
}

/**
 * A virtio-mmio version 2 device (VIRTIO 1.3 §4.2) as the guest sees it through its window: `read`
 * and `write` answer anything a driver does and throw nothing.
 * The legacy interface (version 1) does not exist here.
 */
export class VirtioMmioTransport implements BusHandler {
  readonly #options: MmioTransportOptions;
  readonly #faults: FaultLog;
  readonly #memory: RegisterMemory;
  readonly #interrupts: InterruptStatus;
  readonly #session: DeviceSession;
  readonly #context: RegisterContext;
  readonly #config: ConfigAccess;

  constructor(device: VirtioDevice, options: MmioTransportOptions) {
    this.#options = options;
    this.#faults = new FaultLog(options.logger ?? silentLogger, options.counters);
    this.#config = new ConfigAccess(device, this.#faults);
    this.#memory = options.registers ?? new RegisterMemory(device.queueMaxSizes.length);
    const { transport: own } = this.#memory;
    this.#interrupts = new InterruptStatus(own);
    this.#session = new DeviceSession(device, this.#memory, this.#faults, {
      onReset: () => this.#onReset(),
      onBroken: () => this.needsReset(),
    });
    this.#context = {
      session: this.#session,
      interrupts: this.#interrupts,
      faults: this.#faults,
      deviceId: device.deviceId,
      vendorId: device.vendorId,
      get queueSel() {
        return own.queueSel;
      },
      set queueSel(index) {
        own.queueSel = index;
      },
      get shmSel() {
        return own.shmSel;
      },
      set shmSel(id) {
        own.shmSel = id;
      },
      configGeneration: () => this.#generation,
      interruptStatus: () => this.#interruptStatus(),
      acknowledge: (events) => this.#acknowledge(events),
      notify: (value) => this.#notify(value),
    };
  }

  /** What the driver did wrong so far; read by metrics, never reset. */
  get counters(): Readonly<TransportCounters> {
    return this.#faults.counters;
  }

  /** Device status bits as the driver reads them. */
  get status(): number {
    return this.#session.status;
  }

  /** A copy of all registers. */
  get state(): MmioTransportState {
    return transportState(this.#memory, this.#options.configGeneration?.());
  }

  /**
   * Goes on where another transport stopped (`state`), before the driver's first access to this one. The
   * device is activated if it was; its driver is interrupted where something is pending that it may
   * not know of. The configuration may be another by now, so its generation is.
   *
   * @returns what is wrong with the state, and then the registers are a fresh device's; else undefined
   */
  restore(state: MmioTransportState): string | undefined {
    const { features } = this.#session;
    const { deviceFeaturesSel, driverFeaturesSel, driverFeatures } = state;
    features.restore(deviceFeaturesSel, driverFeaturesSel, driverFeatures);
    // Before the device is told: it may interrupt at once.
    this.#interrupts.restore(state.interruptStatus, state.interruptStatusRead);
    const problem = this.#session.restore(state.status, state.queues);
    if (problem !== undefined) {
      features.reset();
      this.#interrupts.clear();
      return problem;
    }
    this.#context.queueSel = state.queueSel;
    this.#context.shmSel = state.shmSel;
    // Whatever is added to it here.
    this.#memory.transport.configChanges = state.configGeneration + 1;
    if (this.#interrupts.known !== 0) this.#interrupt();
    return undefined;
  }

  /**
   * Goes on with `registers` that another transport of the same device had, in whatever moment that ended,
   * before the driver's first access to this one. The device may be told again what it was told
   * (`activate`, `reset`, `stopQueue`), and the driver interrupted once too often.
   */
  resume(): void {
    this.#interrupts.restore(this.#interrupts.known, this.#interrupts.looks);
    this.#session.resume();
    if (this.#interrupts.known !== 0) this.#interrupt();
    else this.#acknowledged();
  }

  /**
   * The driver reads.
   *
   * @param offset - bytes from the window's base
   * @param size - 1, 2, 4 or 8 bytes
   * @returns the value; zero for what the specification does not define
   */
  read(offset: number, size: number): bigint {
    if (offset >= CONFIG) return this.#config.read(offset - CONFIG, size);
    const register = this.#find(offset, size);
    if (register === undefined) return 0n;
    if (register.read !== undefined) return wordOf(register.read(this.#context));
    this.#faults.report('writeOnly', register.name);
    return 0n;
  }

  /**
   * The driver writes.
   *
   * @param offset - bytes from the window's base
   * @param size - 1, 2, 4 or 8 bytes
   * @param value - its low `size` bytes count
   * @returns what the answer must wait for: the device stops what the driver wants to free. It never fails.
   */
  write(offset: number, size: number, value: bigint): Held | undefined {
    const config = offset >= CONFIG;
    const register = config ? undefined : this.#find(offset, size);
    if (!config && register === undefined) return undefined;
    if (register !== undefined && register.write === undefined) {
      this.#faults.report('readOnly', register.name);
      return undefined;
    }
    const number = Number(value & U32_MASK);
    const joinsReset = offset === defs.VIRTIO_MMIO_STATUS && number === 0;
    if (this.#session.resetting && !joinsReset) {
      this.#faults.report('badStatus', 'write during reset', { offset });
      return undefined;
    }
    if (!config) return register?.write?.(this.#context, number);
    return this.#config.write(offset - CONFIG, size, value, () => this.#session.touch());
  }

  /** The device has used buffers: sets bit 0 of InterruptStatus and interrupts. */
  queueInterrupt(): void {
    this.#raise(defs.VIRTIO_MMIO_INT_VRING);
  }

  /**
   * The device has changed its configuration space, in the same turn of the event loop: the
   * generation changes with it, and the driver is told.
   */
  configChanged(): void {
    if (this.#options.configGeneration === undefined) this.#memory.transport.configChanges++;
    this.#raise(defs.VIRTIO_MMIO_INT_CONFIG);
  }

  /** The device cannot go on: sets DEVICE_NEEDS_RESET and tells a driver that is running. */
  needsReset(): void {
    if (this.#session.setNeedsReset()) this.#raise(defs.VIRTIO_MMIO_INT_CONFIG);
  }

  /**
   * Tells whether somebody else (the kernel) injects interrupts for used buffers, unseen by this
   * object. While on, InterruptStatus always reports a used buffer notification to a running driver:
   * a driver finds nothing to do at worst.
   */
  setVringInterruptsAssisted(on: boolean): void {
    this.#interrupts.vringAssisted = on;
  }

  get #generation(): number {
    return (this.#memory.transport.configChanges + (this.#options.configGeneration?.() ?? 0)) >>> 0;
  }

  #find(offset: number, size: number): Register | undefined {
    const register = size === REGISTER_WIDTH ? REGISTER_AT[offset] : undefined;
    return register ?? this.#unknown(offset, size);
  }

  #unknown(offset: number, size: number): undefined {
    if (size !== REGISTER_WIDTH || offset % REGISTER_WIDTH !== 0) {
      this.#faults.report('badWidth', 'register', { offset, size });
    } else {
      this.#faults.report('unknownRegister', 'register', { offset });
    }
  }

  #raise(events: number): void {
    // §2.1.2: no notification before DRIVER_OK; one that comes late finds the device reset.
    if (!this.#session.driverOk) return;
    this.#interrupts.raise(events);
    this.#interrupt();
  }

  #interrupt(): void {
    this.#call('interrupt', this.#options.interrupt);
  }

  #interruptStatus(): number {
    this.#interrupts.look();
    return this.#session.driverOk ? this.#interrupts.pending : this.#interrupts.known;
  }

  #acknowledge(events: number): void {
    this.#interrupts.acknowledge(events);
    if (this.#interrupts.known === 0) this.#acknowledged();
    else if (this.#interrupts.unseen !== 0) this.#interrupt();
  }

  #acknowledged(): void {
    const callback = this.#options.interruptsAcknowledged;
    if (callback !== undefined) this.#call('interruptsAcknowledged', callback);
  }

  #onReset(): void {
    this.#context.queueSel = 0;
    this.#context.shmSel = 0;
    this.#interrupts.clear();
    this.#acknowledged();
  }

  #notify(value: number): void {
    const session = this.#session;
    if (session.status === 0 && !session.resetting) {
      this.#abandoned(value);
      return;
    }
    const data = defs.hasFeature(session.features.driver, defs.VIRTIO_F_NOTIFICATION_DATA);
    const index = data ? value & 0xffff : value;
    const queue = session.queues[index];
    const running = queue?.ready === true && queue.stopping === undefined && session.driverOk;
    if (running && (session.status & defs.VIRTIO_CONFIG_S_NEEDS_RESET) === 0) {
      session.notifyQueue(index);
    } else {
      this.#faults.report('badNotify', 'VIRTIO_MMIO_QUEUE_NOTIFY', { index });
    }
  }

  /**
   * A driver that uses a device which nobody set up had another: the guest was restored, or the
   * device was replaced under it. It cannot know, so it is told as if it had set DRIVER_OK (§2.1.2).
   */
  #abandoned(value: number): void {
    this.#faults.report('notSetUp', 'VIRTIO_MMIO_QUEUE_NOTIFY', {
      value,
      meaning: 'the driver knew another device, as a restored guest does; it is asked for a reset',
    });
    this.#session.setNeedsReset();
    this.#interrupts.raise(defs.VIRTIO_MMIO_INT_CONFIG);
    this.#interrupt();
  }

  #call(name: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#faults.report('deviceErrors', name, { error: errorMessage(error) });
    }
  }
}
