import {
  asFd,
  checkInteger,
  EAGAIN,
  EINTR,
  SysError,
  threadId,
  viewOf,
} from '@node-vmm/vmm-sys-util';
import { KVM_ARM_VCPU_INIT, KVM_VCPU_INIT } from './abi/arm64.ts';
import { KVM_RUN, KVM_RUN_PAGE, KVM_SET_SIGNAL_MASK, KVM_SIGNAL_MASK } from './abi/run.ts';
import { type KvmDevice, kvmDeviceFromFd } from './device.ts';
import { KvmSysError, naming, wrapSysError } from './errors.ts';
import { ExitDecoder, INTERRUPTED } from './exit-decoder.ts';
import { serveIo, serveMmio, type VcpuBus } from './vcpu-bus.ts';
import type { VcpuExit } from './vcpu-exit.ts';
import { VcpuRegisters } from './vcpu-registers.ts';
import { VCPU_HELD, VCPU_STATE, type VcpuTicket } from './vcpu-ticket.ts';

/** Bytes of the kernel's signal set, for 64 signals; not libc's. */
const SIGSET_SIZE = 8;

interface Held {
  readonly device: KvmDevice;
  readonly view: DataView;
  readonly decoder: ExitDecoder;
}

/**
 * A vCPU as the thread has it that runs it: a Worker, which blocks while the guest runs. Descriptor and run
 * page are lent by the `VcpuControl`; `close` gives them back and closes neither.
 */
export class KvmVcpu implements Disposable {
  readonly id: number;
  /** Registers and CPUID, to be used while the vCPU is outside of the guest. */
  readonly registers: VcpuRegisters;
  readonly #state: Int32Array;
  #held: Held | undefined;

  private constructor(ticket: VcpuTicket, device: KvmDevice) {
    this.id = ticket.id;
    this.#state = new Int32Array(ticket.state);
    // SAFETY: the page is mapped for as long as HELD says that a thread has the vCPU, see VcpuControl.close;
    // after `close` nothing here has a view of it any more.
    const page = viewOf(ticket.page, ticket.pageSize);
    const decoder = new ExitDecoder(ticket.id, page);
    this.#held = { device, view: new DataView(page), decoder };
    this.registers = new VcpuRegisters(ticket.id, () => this.#open().device);
  }

  /**
   * Takes a vCPU for this thread.
   *
   * @param ticket - from `VcpuControl.ticket`, as it came
   * @param device - what to work on instead of the ticket's descriptor
   * @throws {KvmSysError} IN_USE when another has it, CLOSED when its owner has closed it
   */
  static attach(ticket: VcpuTicket, device?: KvmDevice): KvmVcpu {
    const state = new Int32Array(ticket.state);
    const { FREE, HELD, CLOSED } = VCPU_HELD;
    const before = Atomics.compareExchange(state, VCPU_STATE.HELD, FREE, HELD);
    if (before !== FREE) {
      const [code, why] =
        before === CLOSED
          ? (['CLOSED', 'it is closed'] as const)
          : (['IN_USE', 'another thread has it'] as const);
      const context = { vcpu: ticket.id };
      throw new KvmSysError(code, `Cannot attach to vCPU ${ticket.id}: ${why}`, context);
    }
    Atomics.store(state, VCPU_STATE.THREAD, threadId());
    Atomics.store(state, VCPU_STATE.TAKEN, 1);
    return new KvmVcpu(ticket, device ?? kvmDeviceFromFd(asFd(ticket.fd), `vCPU ${ticket.id}`));
  }

  get live(): boolean {
    return this.#held !== undefined;
  }

  /** True when the owner wants the vCPU to stop: it does not enter the guest any more. */
  get stopRequested(): boolean {
    return Atomics.load(this.#state, VCPU_STATE.STOP) === 1;
  }

  /**
   * Runs the guest until it leaves. Blocks this thread.
   *
   * @returns why it has left; overwritten by the next exit
   * @throws {KvmSysError} BAD_EXIT; FAILED with EFAULT when the guest's memory is not mapped here any more
   */
  run(): VcpuExit {
    const held = this.#open();
    if (this.stopRequested) return INTERRUPTED;
    // A kick that `completeExit` has come across.
    if (Atomics.load(this.#state, VCPU_STATE.KICK) === 1) return this.#interrupted(held);
    const exit = this.#enter(held);
    return exit === INTERRUPTED ? this.#interrupted(held) : exit;
  }

  /**
   * Runs and serves accesses until something else happens, such as `hlt`, or a stop is requested
   * (`interrupted`). When the bus throws, so does this, and the access is complete with the next run.
   *
   * @throws {KvmSysError} as {@link run}
   */
  serve(bus: VcpuBus): VcpuExit {
    for (;;) {
      const exit = this.run();
      switch (exit.kind) {
        case 'mmio':
          serveMmio(bus, exit);
          break;
        case 'io':
          serveIo(bus, exit);
          break;
        case 'interrupted':
          if (this.stopRequested) return exit;
          bus.kicked?.();
          break;
        default:
          return exit;
      }
    }
  }

  /**
   * Completes an access without going on in the guest, so that registers are right: `interrupted` says that
   * it is, another exit is the next piece of an access that straddles.
   *
   * @throws {KvmSysError} as {@link run}
   */
  completeExit(): VcpuExit {
    const held = this.#open();
    KVM_RUN_PAGE.set(held.view, 0, 'immediate_exit', 1);
    const exit = this.#enter(held);
    // A kick of this moment may have set it too: KICK remembers that.
    KVM_RUN_PAGE.set(held.view, 0, 'immediate_exit', 0);
    return exit;
  }

  #interrupted({ view }: Held): VcpuExit {
    // In this order, see VcpuControl.kick.
    KVM_RUN_PAGE.set(view, 0, 'immediate_exit', 0);
    Atomics.store(this.#state, VCPU_STATE.KICK, 0);
    return INTERRUPTED;
  }

  #enter({ device, decoder }: Held): VcpuExit {
    for (;;) {
      const result = device.ioctlOnce(KVM_RUN, 0);
      if (result >= 0) return decoder.decode();
      if (result === -EINTR) return INTERRUPTED;
      // A vCPU that another one has just begun to start: it has not run yet.
      if (result === -EAGAIN) continue;
      const error = new SysError({ syscall: 'ioctl(KVM_RUN)', errno: -result });
      throw wrapSysError(error, `run vCPU ${this.id}`, { vcpu: this.id });
    }
  }

  /**
   * Which signals are blocked while the guest runs, instead of the thread's own mask.
   *
   * @param blocked - numbers, 1..64; undefined for the thread's own again
   * @throws {KvmSysError}
   */
  setSignalMask(blocked: readonly number[] | undefined): void {
    const { device } = this.#open();
    let argument: Uint8Array | null = null;
    if (blocked !== undefined) {
      argument = new Uint8Array(KVM_SIGNAL_MASK.SIZE + SIGSET_SIZE);
      argument.set(KVM_SIGNAL_MASK.encode({ len: SIGSET_SIZE }));
      let mask = 0n;
      for (const signal of blocked) mask |= 1n << BigInt(checkInteger('signal', signal, 1, 64) - 1);
      new DataView(argument.buffer).setBigUint64(KVM_SIGNAL_MASK.SIZE, mask, true);
    }
    naming(
      `set the signal mask of vCPU ${this.id}`,
      () => device.ioctl(KVM_SET_SIGNAL_MASK, argument),
      { vcpu: this.id },
    );
  }

  /**
   * arm64: what every vCPU needs before anything else.
   *
   * @param init - from KVM_ARM_PREFERRED_TARGET, with features (`KVM_ARM_VCPU_...`) added
   * @throws {KvmSysError} UNSUPPORTED on other architectures
   */
  armInit(init: { readonly target: number; readonly features: Uint8Array }): void {
    const { device } = this.#open();
    const argument = KVM_VCPU_INIT.encode(init);
    naming(`initialise vCPU ${this.id}`, () => device.ioctl(KVM_ARM_VCPU_INIT, argument), {
      vcpu: this.id,
    });
  }

  #open(): Held {
    if (this.#held !== undefined) return this.#held;
    throw new KvmSysError('CLOSED', `Cannot use vCPU ${this.id}: this thread gave it back`, {
      vcpu: this.id,
    });
  }

  /** Gives the vCPU back: no exit's `data` may be used any more. Idempotent. */
  close(): void {
    if (this.#held === undefined) return;
    this.#held = undefined;
    Atomics.store(this.#state, VCPU_STATE.THREAD, 0);
    Atomics.store(this.#state, VCPU_STATE.HELD, VCPU_HELD.FREE);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
