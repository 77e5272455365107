import type { Artefact } from '../artefact.ts';
import { abiHeaders } from './abi-headers.ts';
import { dom0RootFileSystem } from './dom0.ts';
import { guestArm64, guestX86 } from './guest.ts';
import { kernelArm64, kernelX86 } from './kernel.ts';
import { linuxSource } from './linux-source.ts';
import { npmArm64 } from './npm-arm64.ts';
import { vhostDeviceRng } from './vhost-device-rng.ts';
import { xenArm64 } from './xen.ts';

export { abiHeaders } from './abi-headers.ts';
export { dom0RootFileSystem } from './dom0.ts';
export { guestArm64, guestX86 } from './guest.ts';
export { kernelArm64, kernelX86 } from './kernel.ts';
export { npmArm64 } from './npm-arm64.ts';
export { vhostDeviceRng } from './vhost-device-rng.ts';
export { xenArm64 } from './xen.ts';

/** Everything that setup makes, in the order in which it is made. */
export const ARTEFACTS: readonly Artefact[] = [
  npmArm64,
  linuxSource,
  kernelX86,
  kernelArm64,
  abiHeaders,
  guestArm64,
  guestX86,
  dom0RootFileSystem,
  xenArm64,
  vhostDeviceRng,
];
