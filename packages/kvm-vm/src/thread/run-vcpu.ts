import { KvmVcpu, type VcpuTicket } from '@node-vmm/kvm-sys';
import { enterAt } from '../entry-state.ts';
import { AccessBus } from './access-bus.ts';
import type { VcpuReport, VcpuThreadData } from './thread-data.ts';

/**
 * Runs a vCPU until it is stopped. Blocks this thread.
 *
 * @returns why it ended by itself; undefined when it was stopped
 * @throws {KvmSysError}
 */
export function runVcpu(
  ticket: VcpuTicket,
  { channel, cpuid, entry }: VcpuThreadData,
): VcpuReport | undefined {
  const vcpu = KvmVcpu.attach(ticket);
  try {
    vcpu.registers.setCpuid2(cpuid);
    if (entry !== undefined) enterAt(vcpu.registers, entry);
    const exit = vcpu.serve(new AccessBus(vcpu, channel));
    return vcpu.stopRequested ? undefined : { exit: { ...exit } };
  } finally {
    vcpu.close();
  }
}
