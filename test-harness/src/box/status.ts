import { artefactFile, isBuilt } from './artefact.ts';
import { ARTEFACTS } from './artefacts/index.ts';
import { vhostDeviceRng } from './artefacts/vhost-device-rng.ts';
import { hasProgram } from './host-tools.ts';

/** Whether the box can be run here and now. */
export interface BoxStatus {
  readonly ready: boolean;
  /** What is missing and what to do about it; empty when ready. */
  readonly reason: string;
}

/** Says whether `box:setup` has been done, without side effects; takes a few milliseconds. */
export function boxStatus(): BoxStatus {
  const missing = [
    ...['qemu-system-aarch64', 'qemu-system-x86_64'].filter((program) => !hasProgram(program)),
    ...ARTEFACTS.filter((item) => item.skipReason === undefined && !isBuilt(item)).map(
      (item) => item.name,
    ),
  ];
  return missing.length === 0
    ? { ready: true, reason: '' }
    : {
        ready: false,
        reason: `missing: ${missing.join(', ')}; run \`npm run box:setup\` as root to enable it`,
      };
}

/** Path of rust-vmm's vhost-device-rng, or undefined when setup had no cargo to build it. */
export function vhostDeviceRngPath(): string | undefined {
  return isBuilt(vhostDeviceRng) ? artefactFile(vhostDeviceRng, 'vhost-device-rng') : undefined;
}
