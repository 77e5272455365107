import type {
  AddressRange,
  AddressSpace,
  BusCounters,
  BusHandler,
  Held,
  HeldTimes,
  IoeventfdMatch,
  IrqCarrier,
  IrqLine,
  LineInterrupt,
} from '@node-vmm/vm-device';
import type { EventFd, Mapping } from '@node-vmm/vmm-sys-util';
import type { AccessServer } from './access-request.ts';
import type { IoreqCounters } from './ioreq-dispatcher.ts';
import type { GuestEndsData } from './open-ends.ts';

/** A guest whose accesses somebody else is to serve. All of it stays the guest's owner's until it is released. */
export interface HostedGuest {
  /** For messages. */
  readonly name: string;
  /** An ioreq page, or memory of that shape. */
  readonly page: Mapping;
  readonly vcpus: number;
  /** How requests arrive, and how the guest is answered and interrupted. */
  readonly ends: GuestEndsData;
  /** Address spaces besides memory. */
  readonly spaces: readonly Exclude<AddressSpace, 'memory'>[];
  /** Milliseconds that a deferred answer may take. */
  readonly answerLimit: number;
  /** Takes nothing before {@link AccessSeat.resume}. */
  readonly paused?: boolean;
  /** What carries an interrupt of a device that the host has. */
  carrierOf(interrupt: LineInterrupt): IrqCarrier;
  /** Carries out, in the thread of the owner, what has no device on that of the host. */
  readonly server: AccessServer;
  /** As a dispatcher's, in the thread of the owner. */
  readonly invalidate?: (() => Held | undefined) | undefined;
  /** The host is gone and uses nothing of the guest any more: its owner answers the vCPUs from now on. */
  readonly gone: () => void;
}

/** Serves accesses of guests, on another thread. */
export interface AccessHost {
  /** @throws {VmError} CLOSED when it is gone */
  seat(guest: HostedGuest): AccessSeat;
}

/**
 * A guest's place there. What is said takes effect before the next access that begins after it. Nothing
 * happens once the host is gone.
 */
export interface AccessSeat {
  /** False once it is closed, or its host is gone. */
  readonly live: boolean;
  /** What the ioreq path counted; whoever serves the guest after the host goes on with them. */
  readonly counters: IoreqCounters;
  /** What the host found of the guest's accesses to memory. */
  readonly bus: Readonly<BusCounters>;
  /** Times that a vCPU was said to have posted a request, and had not. */
  readonly idle: number;
  /** Interrupts of devices that the host has. */
  readonly interrupts: number;
  /** How long its accesses were held. */
  readonly heldTimes: HeldTimes;
  /** A window, of which the owner found that it can be. @returns takes it back */
  map(range: AddressRange, handler: BusHandler): () => void;
  /** As `Vm.ioeventfd`; the host has a descriptor of its own. @returns undoes it */
  ioeventfd(match: IoeventfdMatch, eventfd: EventFd): () => void;
  /**
   * Sets a wire, as far as devices of the owner's thread have a say: it is high while they or one of the
   * host's want it so.
   */
  setIrq(irq: IrqLine, level: boolean, carrier: IrqCarrier): void;
  /** Takes no more accesses. Ends when all that were taken are answered, or given back as they were. */
  pause(): Promise<void>;
  resume(): void;
  /**
   * Answers all vCPUs and takes no more accesses.
   *
   * @param released - called when the host uses nothing of the guest any more, as a rule before this returns
   */
  close(released: () => void): void;
}

/** A handler that can serve its window where the guest's accesses arrive. */
export interface SeatedHandler extends BusHandler {
  /** @param window - its number there */
  takeSeat(seat: AccessSeat, window: number): void;
}
