import { type QemuKind, qemuStatus } from '../../src/box/index.ts';

/** A QEMU that tests run against, or the reason why not. */
export interface QemuCase {
  readonly qemu: QemuKind;
  readonly ready: boolean;
  /** `the installed QEMU`, with the reason behind it where it is not ready. */
  readonly title: string;
}

// QEMU 8.2 and later have another front-end than 7.2, which accepts what it does not implement.
const KINDS: readonly QemuKind[] = ['installed', 'newest'];

/** The QEMUs that tests run against. */
export const QEMUS: readonly QemuCase[] = KINDS.map((qemu) => {
  const { ready, state, reason } = qemuStatus(qemu);
  const suffix = ready ? '' : ` (skipped, ${state}: ${reason})`;
  return { qemu, ready, title: `the ${qemu} QEMU${suffix}` };
});
