import type { Mapping, ThreadInterrupt } from '@node-vmm/vmm-sys-util';
import { KVM_RUN_PAGE } from './abi/run.ts';
import type { KvmDevice } from './device.ts';
import { KvmSysError, naming } from './errors.ts';
import { VCPU_HELD, VCPU_STATE, type VcpuTicket } from './vcpu-ticket.ts';

/** What a {@link VcpuControl} is made of. */
export interface VcpuControlOptions {
  readonly id: number;
  /** Bytes that the vCPU shares with its thread. */
  readonly runSize: number;
  readonly interrupt: ThreadInterrupt;
}

/**
 * The owner of a vCPU: made, kicked and closed by the thread that has the VM, while another thread runs the
 * vCPU as a `KvmVcpu`.
 */
export class VcpuControl implements Disposable {
  readonly id: number;
  readonly #device: KvmDevice;
  readonly #page: Mapping;
  readonly #view: DataView;
  readonly #interrupt: ThreadInterrupt;
  readonly #state = new Int32Array(new SharedArrayBuffer(VCPU_STATE.LENGTH * 4));

  private constructor(device: KvmDevice, page: Mapping, options: VcpuControlOptions) {
    this.id = options.id;
    this.#device = device;
    this.#page = page;
    this.#view = new DataView(page.buffer());
    this.#interrupt = options.interrupt;
  }

  /**
   * Maps the run page of a vCPU.
   *
   * @param device - belongs to what is returned, and is closed when this fails
   * @throws {KvmSysError}
   */
  static create(device: KvmDevice, options: VcpuControlOptions): VcpuControl {
    try {
      const page = naming(`map the run page of vCPU ${options.id}`, () =>
        device.map(options.runSize),
      );
      return new VcpuControl(device, page, options);
    } catch (error) {
      device.close();
      throw error;
    }
  }

  get live(): boolean {
    return this.#page.live;
  }

  /** Whether a thread has the vCPU, as a `KvmVcpu`. */
  get held(): boolean {
    return Atomics.load(this.#state, VCPU_STATE.HELD) === VCPU_HELD.HELD;
  }

  /** Whether the thread that it was lent to last has begun: it has the vCPU, or has had it. */
  get taken(): boolean {
    return Atomics.load(this.#state, VCPU_STATE.TAKEN) === 1;
  }

  /** True after {@link requestStop}. */
  get stopRequested(): boolean {
    return Atomics.load(this.#state, VCPU_STATE.STOP) === 1;
  }

  /** For the thread that is to run the vCPU. @throws {KvmSysError} CLOSED */
  ticket(): VcpuTicket {
    this.#open('lend');
    if (!this.held) Atomics.store(this.#state, VCPU_STATE.TAKEN, 0);
    const { pointer: page, length: pageSize } = this.#page;
    return {
      id: this.id,
      fd: this.#device.fd,
      page,
      pageSize,
      state: this.#state.buffer as SharedArrayBuffer,
    };
  }

  /**
   * Has the vCPU leave the guest once, or not enter it when it is outside: its thread sees an exit of kind
   * `interrupted`. What that thread is to find then has to be there before the call.
   *
   * @throws {KvmSysError} CLOSED
   */
  kick(): void {
    this.#open('kick');
    // In this order: whoever sees the page's byte cleared meanwhile finds the word, and the other way round.
    Atomics.store(this.#state, VCPU_STATE.KICK, 1);
    KVM_RUN_PAGE.set(this.#view, 0, 'immediate_exit', 1);
    const thread = Atomics.load(this.#state, VCPU_STATE.THREAD);
    if (thread !== 0) this.#interrupt.interrupt(thread);
  }

  /** Has the vCPU leave the guest and never enter it again. One that is closed has stopped. */
  requestStop(): void {
    if (!this.live) return;
    Atomics.store(this.#state, VCPU_STATE.STOP, 1);
    this.kick();
  }

  /**
   * Says that the thread which had the vCPU is gone, as the `exit` event of its Worker tells: what it had no
   * occasion to give back is free. Nothing else may be the reason: descriptor and page would be taken from
   * under a thread that runs.
   */
  threadEnded(): void {
    Atomics.store(this.#state, VCPU_STATE.THREAD, 0);
    Atomics.compareExchange(this.#state, VCPU_STATE.HELD, VCPU_HELD.HELD, VCPU_HELD.FREE);
  }

  #open(verb: string): void {
    if (this.live) return;
    throw new KvmSysError('CLOSED', `Cannot ${verb} vCPU ${this.id}: it is closed`, {
      vcpu: this.id,
    });
  }

  /**
   * Unmaps the page and closes the descriptor. Idempotent.
   *
   * @throws {KvmSysError} IN_USE while a thread has the vCPU
   */
  close(): void {
    const { FREE, HELD, CLOSED } = VCPU_HELD;
    if (Atomics.compareExchange(this.#state, VCPU_STATE.HELD, FREE, CLOSED) === HELD) {
      throw new KvmSysError(
        'IN_USE',
        `Cannot close vCPU ${this.id}: a thread has it (stop that first)`,
        { vcpu: this.id },
      );
    }
    this.#page.close();
    this.#device.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
