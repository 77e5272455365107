import { accessSync, constants, readFileSync } from 'node:fs';
import { errorCode } from '@node-vmm/vmm-sys-util';

/** Ours: where the kernel has KVM. */
export const KVM_PATH = '/dev/kvm';

/** Ours: what {@link KVM_PATH} needs when it is not there. */
export const KVM_REMEDY =
  'load the module kvm_intel or kvm_amd, and let the firmware enable virtualisation; inside a virtual machine its host must allow nested virtualisation';
/** Ours: what {@link KVM_PATH} needs when it is there and not for this user. */
export const KVM_PERMISSION_REMEDY =
  'add yourself to group kvm: `sudo usermod -aG kvm $USER`, and log in again; in a container, pass `--device /dev/kvm`';

/**
 * The processor's instructions for virtual machines: Intel's, AMD's, none, or not to be known here (no
 * flags of that kind, as on arm64).
 */
export type HardwareVirtualisation = 'vmx' | 'svm' | 'none' | 'unknown';

/**
 * Which instructions for virtual machines the processor says it has. Where it is `none`, and /dev/kvm
 * works all the same, that is a paravirtual KVM: every capability check succeeds and small programs run,
 * but Linux as a guest hangs. Warn before one is started.
 *
 * @param cpuinfo - where the kernel describes the processors
 */
export function hardwareVirtualisation(cpuinfo = '/proc/cpuinfo'): HardwareVirtualisation {
  let text: string;
  try {
    text = readFileSync(cpuinfo, 'latin1');
  } catch {
    return 'unknown';
  }
  const flags = /^flags\s*:(.*)$/m.exec(text)?.[1]?.split(/\s+/);
  if (flags === undefined) return 'unknown';
  if (flags.includes('vmx')) return 'vmx';
  return flags.includes('svm') ? 'svm' : 'none';
}

/** Whether /dev/kvm can be used. */
export interface KvmStatus {
  readonly device: 'usable' | 'missing' | 'not-permitted';
  readonly hardware: HardwareVirtualisation;
  /** What to do about it, one sentence each; empty when all is well. */
  readonly remedies: readonly string[];
}

/** Looks whether this process can work with KVM, without opening anything. Throws nothing. */
export function kvmStatus(
  paths: { readonly kvm?: string; readonly cpuinfo?: string } = {},
): KvmStatus {
  const { kvm = KVM_PATH, cpuinfo } = paths;
  const hardware = hardwareVirtualisation(cpuinfo);
  try {
    accessSync(kvm, constants.R_OK | constants.W_OK);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'EACCES' || code === 'EPERM') {
      const remedies = [`${kvm} is not accessible: ${KVM_PERMISSION_REMEDY}.`];
      return { device: 'not-permitted', hardware, remedies };
    }
    return { device: 'missing', hardware, remedies: [`There is no ${kvm}: ${KVM_REMEDY}.`] };
  }
  const remedies =
    hardware === 'none'
      ? [
          'The processor has neither vmx nor svm: small programs run, Linux as a guest may hang. Use a machine with hardware virtualisation for that.',
        ]
      : [];
  return { device: 'usable', hardware, remedies };
}
