import { accessSync, constants, readFileSync } from 'node:fs';
import { errorCode } from '@node-vmm/vmm-sys-util';
import { EVTCHN_PATH } from './event-channels.ts';
import { PRIVCMD_PATH, PRIVCMD_REMEDY } from './privcmd.ts';

const HYPERVISOR_DIR = '/sys/hypervisor';

/** Whether a device can be used. */
export type DeviceStatus = 'usable' | 'missing' | 'not-permitted';

/** What this machine offers for working with Xen. */
export interface XenStatus {
  /** True in a domain of Xen, dom0 or other. */
  readonly isXen: boolean;
  /** "PV", "PVH" or "HVM"; Arm domains are "HVM". */
  readonly guestType: string | undefined;
  readonly privcmd: DeviceStatus;
  readonly evtchn: DeviceStatus;
  /** What to do about it, one sentence each; empty when all is well. */
  readonly remedies: readonly string[];
}

/** Where to look, for tests. */
export interface XenStatusPaths {
  readonly hypervisor?: string;
  readonly privcmd?: string;
  readonly evtchn?: string;
}

function readLine(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function deviceStatus(path: string): DeviceStatus {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return 'usable';
  } catch (error) {
    const code = errorCode(error);
    return code === 'EACCES' || code === 'EPERM' ? 'not-permitted' : 'missing';
  }
}

/** Kind of this domain, as the kernel tells it; undefined outside Xen. */
export function readGuestType(directory: string = HYPERVISOR_DIR): string | undefined {
  return readLine(`${directory}/guest_type`);
}

/** Looks whether this process can work with Xen, without opening anything. Throws nothing. */
export function xenStatus(paths: XenStatusPaths = {}): XenStatus {
  const directory = paths.hypervisor ?? HYPERVISOR_DIR;
  const isXen = readLine(`${directory}/type`) === 'xen';
  const devices = [
    { path: paths.privcmd ?? PRIVCMD_PATH, remedy: PRIVCMD_REMEDY },
    {
      path: paths.evtchn ?? EVTCHN_PATH,
      remedy: 'load the event channel driver: CONFIG_XEN_DEV_EVTCHN, module xen-evtchn',
    },
  ] as const;
  const [privcmd, evtchn] = devices.map(({ path }) => deviceStatus(path)) as [
    DeviceStatus,
    DeviceStatus,
  ];
  const remedies: string[] = [];
  if (!isXen) {
    remedies.push(`This is no Xen domain (${directory}/type does not say "xen"): boot Xen.`);
  } else {
    for (const [i, status] of [privcmd, evtchn].entries()) {
      const { path, remedy } = devices[i] as (typeof devices)[number];
      if (status === 'missing') remedies.push(`There is no ${path}: ${remedy}.`);
      if (status === 'not-permitted') remedies.push(`${path} is not accessible: run as root.`);
    }
  }
  return { isXen, guestType: readGuestType(directory), privcmd, evtchn, remedies };
}
