import { arch } from 'node:process';
import { DEFAULT_ANSWER_LIMIT, type IoreqCounters } from '@node-vmm/ioreq-eventfd';
import { type Kvm, KvmSysError, type KvmVm } from '@node-vmm/kvm-sys';
import {
  type AddressRange,
  type BusHandler,
  type HeldAccesses,
  type IoeventfdMatch,
  type IrqCarrier,
  type IrqEvents,
  type IrqLine,
  type IrqSource,
  type LineInterrupt,
  type MessageInterrupt,
  type NotificationMode,
  type ServedElsewhere,
  UserSpaceVm,
  VmError,
  type Wiring,
} from '@node-vmm/vm-device';
import type { GuestMemoryMmap, GuestRange } from '@node-vmm/vm-memory';
import { type EventFd, errorMessage, hex, silentLogger } from '@node-vmm/vmm-sys-util';
import { Accesses } from './accesses.ts';
import { checkFree } from './check-free.ts';
import type { EntryState } from './entry-state.ts';
import { KvmMachineError } from './errors.ts';
import { checkLine, checkMessage, KvmInterrupts } from './kvm-interrupts.ts';
import type { MachineEnd } from './machine-end.ts';
import type { KvmMachineComponents, KvmMachineOptions } from './machine-options.ts';
import { MachineParts } from './machine-parts.ts';
import { memoryBanks } from './pc-layout.ts';
import { VcpuGroup } from './vcpu-group.ts';

/**
 * A virtual machine of KVM whose devices live in this process. Memory, I/O APIC and local APICs are the
 * kernel's, vCPUs run in worker threads, and what they touch that is neither is served like the accesses of any
 * other machine.
 */
export class KvmMachine extends UserSpaceVm<GuestMemoryMmap> {
  /** How it ended. */
  readonly ended: Promise<MachineEnd>;
  /** Ends when nothing of it is left: no thread, no descriptor, no mapping. Rejects with nothing. */
  readonly closed: Promise<void>;
  /** Where the guest has memory. */
  readonly banks: readonly GuestRange[];
  readonly #kvm: Kvm;
  readonly #vm: KvmVm;
  readonly #parts: MachineParts;
  readonly #vcpus: VcpuGroup;
  readonly #accesses: Accesses;
  readonly #interrupts: KvmInterrupts;
  readonly #notification: NotificationMode;
  #end: (end: MachineEnd) => void = () => undefined;
  #gone: () => void = () => undefined;
  #started = false;

  /**
   * Makes a machine; its vCPUs do not run before {@link start}.
   *
   * @throws {KvmMachineError} NOT_SUPPORTED, BAD_OPTION, NO_HUGE_PAGES
   * @throws {KvmSysError}
   * @throws {SysError}
   */
  static create(components: KvmMachineComponents, options: KvmMachineOptions): KvmMachine {
    if (arch !== 'x64') {
      throw new KvmMachineError(
        'NOT_SUPPORTED',
        `Cannot make a machine on ${arch}: kvm-vm knows x86_64 only`,
      );
    }
    const banks = memoryBanks(options.memory);
    const parts = MachineParts.create(components.kvm, banks, options);
    try {
      return new KvmMachine(components, options, banks, parts);
    } catch (error) {
      parts.close();
      throw error;
    }
  }

  private constructor(
    components: KvmMachineComponents,
    options: KvmMachineOptions,
    banks: readonly GuestRange[],
    parts: MachineParts,
  ) {
    const { poller, logger = silentLogger } = components;
    const { name = 'kvm' } = options;
    const { memory } = parts.memory;
    super({ name, spaces: ['port'], memory: () => memory, poller, logger });
    this.banks = banks;
    this.#kvm = components.kvm;
    this.#vm = parts.vm;
    this.#parts = parts;
    this.#notification = options.notification ?? 'auto';
    this.#interrupts = new KvmInterrupts(name, parts.vm);
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.closed = new Promise((resolve) => {
      this.#gone = resolve;
    });
    const vcpus = parts.vcpus;
    this.#vcpus = new VcpuGroup(parts.vm, vcpus, options.threadModule);
    const { buses } = this;
    const { answerLimit = DEFAULT_ANSWER_LIMIT } = options;
    this.#accesses = new Accesses({
      name,
      vm: parts.vm,
      vcpus,
      buses,
      memory: () => memory,
      poller,
      logger,
      answerLimit,
      host: components.host,
    });
  }

  /** What was counted of accesses that left the kernel. */
  get counters(): Readonly<IoreqCounters> {
    return this.#accesses.counters;
  }

  protected override get elsewhere(): ServedElsewhere | undefined {
    return this.#accesses.elsewhere;
  }

  /** How long accesses were held. */
  get held(): HeldAccesses {
    return this.#accesses.held;
  }

  /**
   * Runs the guest.
   *
   * @param entry - how the first vCPU begins; the others wait for INIT and SIPI
   * @throws {VmError} CLOSED
   * @throws {KvmMachineError} STARTED
   * @throws {KvmSysError}
   */
  start(entry: EntryState): void {
    this.checkLive('start the guest');
    if (this.#started) {
      throw new KvmMachineError('STARTED', `Cannot start ${this.name}: it was started before`);
    }
    this.#started = true;
    const cpuid = this.#kvm.supportedCpuid();
    const channel = (vcpu: number) => this.#accesses.channel(vcpu);
    this.#vcpus.start({ channel, cpuid, entry }, (end) => this.#over(end));
  }

  /**
   * Has the guest run no more, as it wanted itself; devices stay until {@link close}.
   *
   * @param code - of the guest's, 0 for an orderly end
   */
  exit(code: number): void {
    this.#over({ kind: 'guest', code });
  }

  #over(end: MachineEnd): void {
    this.#end(end);
    this.#vcpus.requestStop();
  }

  override map(range: AddressRange, handler: BusHandler): Wiring {
    const wiring = super.map(range, handler);
    return this.#also(wiring, () => this.#accesses.map(range, handler));
  }

  /** A host has to know of it as well. */
  #also(wiring: Wiring, tell: () => (() => void) | undefined): Wiring {
    const undo = tell();
    if (undo === undefined) return wiring;
    return this.wirings.add(wiring.kernelAssisted, () => {
      undo();
      wiring.close();
    });
  }

  override ioeventfd(match: IoeventfdMatch, eventfd: EventFd): Wiring {
    // Matched on the bus as well: what reaches this process all the same signals the same eventfd.
    const wiring = super.ioeventfd(match, eventfd);
    const user = this.#also(wiring, () => this.#accesses.ioeventfd(match, eventfd));
    try {
      const { space = 'memory', guestAddr: address, length, datamatch } = match;
      const kernel = this.#byKernel(`wire a write to ${hex(address)}`, () =>
        this.#vm.ioeventfd({
          space: space === 'port' ? 'port' : 'memory',
          address,
          length,
          ...(datamatch === undefined ? {} : { datamatch }),
          eventfd,
        }),
      );
      if (kernel === undefined) return user;
      return this.wirings.add(true, () => {
        this.#quietly('end an ioeventfd', () => kernel.close());
        user.close();
      });
    } catch (error) {
      user.close();
      throw error;
    }
  }

  protected override makeIrqfd(
    interrupt: LineInterrupt,
    eventfd: EventFd,
    act: () => void,
  ): { readonly kernelAssisted: boolean; readonly undo: () => void } {
    const { irq, trigger } = interrupt;
    if (trigger === 'level' && this.#notification !== 'kernel') {
      // Whoever is interrupted has to hear of it before the line goes down. An irqfd with resample does not tell:
      // what is signalled between the driver's look at a ring and its end of the interrupt finds the line high, the end
      // lowers it, and the kernel has read the eventfd. So that would be lost.
      return super.makeIrqfd(interrupt, eventfd, act);
    }
    const what = `have the kernel raise interrupt ${irq}`;
    if (trigger === 'level') {
      const text = `Cannot ${what}: a level needs somebody who lowers it; use an edge, or notification auto`;
      throw new VmError('NOT_SUPPORTED', text, { vm: this.name, irq });
    }
    const kernel = this.#byKernel(what, () => this.#vm.irqfd({ gsi: irq, eventfd }));
    if (kernel === undefined) return super.makeIrqfd(interrupt, eventfd, act);
    const undo = (): void => this.#quietly('end an irqfd', () => kernel.close());
    return { kernelAssisted: true, undo };
  }

  protected override connectMessage(interrupt: MessageInterrupt, events: IrqEvents): IrqSource {
    checkMessage(interrupt, this.name);
    const makeIrqfd = (eventfd: EventFd, act: () => void) => {
      const kernel = this.#byKernel('have the kernel send a message', () =>
        this.#interrupts.messageIrqfd(interrupt, eventfd),
      );
      if (kernel === undefined) return this.watchIrqfd(eventfd, act);
      const undo = (): void => this.#quietly('end an irqfd', () => kernel.close());
      return { kernelAssisted: true, undo };
    };
    return this.#interrupts.connectMessage(interrupt, makeIrqfd, events);
  }

  /** @returns undefined where this process has to do it @throws {VmError} NOT_SUPPORTED in mode `kernel` */
  #byKernel<T>(action: string, make: () => T): T | undefined {
    if (this.#notification === 'user') return undefined;
    try {
      return make();
    } catch (cause) {
      if (!KvmSysError.is(cause)) throw cause;
      if (this.#notification === 'kernel') {
        const text = `Cannot ${action}: ${cause.message}`;
        throw new VmError('NOT_SUPPORTED', text, { vm: this.name }, { cause });
      }
      this.logger.warn({ vm: this.name, reason: cause.message }, 'done in user space instead');
      return undefined;
    }
  }

  /** Each event of an edge is a rise and a fall of its own, which any number of devices can make. */
  protected carrierOf({ trigger }: LineInterrupt): IrqCarrier {
    return trigger === 'level' ? 'level' : 'message';
  }

  /** A message comes as `true` alone: of a level there are both. */
  protected setIrq(irq: IrqLine, level: boolean, carrier: IrqCarrier): void {
    this.#interrupts.setLine(irq, level, carrier);
  }

  protected checkIrq(irq: IrqLine): void {
    checkLine(irq, this.name);
  }

  protected claim(range: AddressRange): () => void {
    checkFree(range, this.banks, this.name);
    return () => undefined;
  }

  protected override quiesce(): void {
    this.#over({ kind: 'closed' });
    this.#accesses.end();
  }

  protected release(): void {
    void this.#release();
  }

  async #release(): Promise<void> {
    const { name: vm } = this;
    await this.#vcpus.stop((reason) => this.logger.warn({ vm, reason }, 'a vCPU ends late'));
    await this.#accesses.released;
    this.#quietly('end what served accesses', () => this.#accesses.close());
    this.#quietly('close the machine', () => this.#parts.close());
    this.#gone();
  }

  #quietly(action: string, act: () => void): void {
    try {
      act();
    } catch (error) {
      this.logger.debug({ vm: this.name, action, error: errorMessage(error) }, 'failed, going on');
    }
  }
}
