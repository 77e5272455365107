import { equal } from 'node:assert/strict';
import type { EventFd } from '@node-vmm/vmm-sys-util';
import type { ComplianceCase } from '@node-vmm/vmm-sys-util/testing';
import type { AddressSpace } from '../address-space.ts';
import type { BusHandler } from '../bus-handler.ts';
import { VmError, type VmErrorCode } from '../errors.ts';
import type { IrqLine } from '../irq.ts';
import type { Vm } from '../vm.ts';

/** Where from and where to an access goes; default vCPU 0 and `memory`. */
export interface AccessPlace {
  readonly vcpu?: number;
  readonly space?: AddressSpace;
}

/** The guest of a virtual machine under test: what a vCPU does, without blocking the test. */
export interface GuestUnderTest {
  read(address: bigint, size: number, place?: AccessPlace): Promise<bigint>;
  write(address: bigint, size: number, value: bigint, place?: AccessPlace): Promise<void>;
  /** Waits until a vCPU takes the interrupt, and ends it at once. */
  interrupt(irq: IrqLine): Promise<void>;
  /** A vCPU takes the interrupt and ends it at once, if there is one. */
  takeInterrupt(irq: IrqLine): boolean;
}

/** What a run of the suite works on: a fresh machine for each case. */
export interface VmComplianceContext {
  readonly vm: Vm;
  readonly guest: GuestUnderTest;
  /** Guest physical address of 8 KiB where the guest has nothing; page-aligned. */
  readonly base: bigint;
  /** First of 16 I/O ports where it has nothing; absent when the machine has no ports. */
  readonly port?: bigint;
  /** An interrupt line that the suite may use. */
  readonly irq: IrqLine;
  /** Whether several devices may be connected to it. */
  readonly irqSharing: boolean;
  /** A message that a vCPU takes as it takes that line; absent when the machine has no messages. */
  readonly message?: { readonly address: bigint; readonly data: number };
  /** vCPUs, at least 2. */
  readonly vcpus: number;
  /** Whether ioeventfds are the kernel's. */
  readonly kernelAssisted: boolean;
  /** Whether irqfds are. */
  readonly interruptsAssisted: boolean;
}

/** What a guest must be able to do besides one access after the other. */
export type GuestAbility = 'interrupts' | 'ports' | 'vcpus';

/** One rule that every `Vm` keeps. */
export interface VmComplianceCase extends ComplianceCase<VmComplianceContext> {
  readonly section: 'windows' | 'address spaces' | 'ioeventfds' | 'interrupts' | 'closing';
  /**
   * `interrupts`: the guest says which it takes. `ports`: it makes accesses to them, if it has any.
   * `vcpus`: two of them make accesses at once. Absent: none of that.
   */
  readonly needs?: GuestAbility;
  run(subject: VmComplianceContext): Promise<void>;
}

/** Length of the windows that the suite maps at `base`. */
export const LENGTH = 0x200;
/** Offset of the register that it wires: QueueNotify of virtio-mmio, which kernels know. */
export const NOTIFY = 0x50n;

/** Notes every access; its reads give a value that tells the bytes apart. */
export class RecordingHandler implements BusHandler {
  readonly accesses: string[] = [];
  held: Promise<void> | undefined;

  read(offset: number, size: number): bigint {
    this.accesses.push(`read ${offset}/${size}`);
    return 0x1122_3344_5566_7788n;
  }

  write(offset: number, size: number, value: bigint): Promise<void> | undefined {
    this.accesses.push(`write ${offset}/${size}=${value}`);
    return this.held;
  }

  /** Waits until the guest has made an access. */
  async accessed(): Promise<void> {
    while (this.accesses.length === 0) await new Promise(setImmediate);
  }
}

/** The code of the `VmError` that an action throws; undefined when it throws nothing. */
export function codeOf(action: () => unknown): VmErrorCode | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    equal(VmError.is(error), true, `expected a VmError, got ${String(error)}`);
    return (error as VmError).code;
  }
}

/**
 * Waits for the event loop to bring a signal, which costs a few turns at most.
 *
 * @throws Error when it never comes
 */
export async function signalled(eventfd: EventFd): Promise<void> {
  for (let turn = 0; turn < 10_000; turn++) {
    if (eventfd.drain()) return;
    await new Promise(setImmediate);
  }
  throw new Error('the eventfd was not signalled');
}
