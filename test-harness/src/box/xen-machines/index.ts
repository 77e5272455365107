import type { Architecture } from '../architecture.ts';
import { arm64Machine } from './arm64.ts';
import { x86Machine } from './x86.ts';
import type { XenMachine } from './xen-machine.ts';

export type {
  BootFiles,
  BootOptions,
  Firmware,
  GuestOptions,
  XenMachine,
} from './xen-machine.ts';

/** The emulated machines, by architecture. */
export const MACHINES: Readonly<Record<Architecture, XenMachine>> = {
  arm64: arm64Machine,
  x86_64: x86Machine,
};
