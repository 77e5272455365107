import { KvmMachineError } from './errors.ts';
import type { VcpuReport } from './thread/thread-data.ts';

/** How a machine ended. */
export type MachineEnd =
  /** By `close`. */
  | { readonly kind: 'closed' }
  /** The guest wanted it so; 0 is an orderly end. */
  | { readonly kind: 'guest'; readonly code: number }
  | { readonly kind: 'failed'; readonly error: KvmMachineError };

/** What it means that a vCPU has left the guest for good. */
export function endOfExit(exit: VcpuReport['exit'], vcpu: number): MachineEnd {
  return { kind: 'failed', error: errorOfExit(exit, vcpu) };
}

function errorOfExit(exit: VcpuReport['exit'], vcpu: number): KvmMachineError {
  const who = `vCPU ${vcpu}`;
  switch (exit.kind) {
    case 'shutdown': {
      const text = `The guest has ended: ${who} met a fault that it could not handle (a triple fault)`;
      return new KvmMachineError('GUEST_SHUTDOWN', text, { vcpu });
    }
    case 'internal-error': {
      const reason = exit.suberror;
      const text = `The guest has ended: KVM cannot go on with ${who} (internal error ${reason}; 1 is an instruction that it cannot emulate)`;
      return new KvmMachineError('GUEST_STUCK', text, { vcpu, reason });
    }
    case 'fail-entry': {
      const text = `The guest has ended: the processor refuses to enter ${who} (reason ${exit.hardwareReason})`;
      return new KvmMachineError('FAIL_ENTRY', text, { vcpu });
    }
    default: {
      const reason = exit.kind === 'other' ? exit.reason : 0;
      const what = exit.kind === 'other' ? `exit ${reason}` : exit.kind;
      const text = `The guest has ended: ${who} left it by ${what}, which nobody here serves`;
      return new KvmMachineError(
        'UNKNOWN_EXIT',
        text,
        exit.kind === 'other' ? { vcpu, reason } : { vcpu },
      );
    }
  }
}
