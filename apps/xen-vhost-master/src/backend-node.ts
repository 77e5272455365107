import type { DeviceDescription } from './device-source.ts';
import { BridgeError } from './errors.ts';

/** `enum xenbus_state`, xen/include/public/io/xenbus.h. */
export const XenbusState = {
  Unknown: 0,
  Initialising: 1,
  InitWait: 2,
  Initialised: 3,
  Connected: 4,
  Closing: 5,
  Closed: 6,
} as const;

/** The entries that are read of a back-end's directory. */
export const BACKEND_ENTRIES = [
  'type',
  'transport',
  'base',
  'irq',
  'grant_usage',
  'state',
  'online',
] as const;

/** A back-end's directory in the xenstore, as libxl writes it for `virtio = [ ... ]`. */
export interface BackendNode {
  readonly domid: number;
  readonly devid: number;
  /** Text of the {@link BACKEND_ENTRIES} that there are. */
  readonly entries: ReadonlyMap<string, string>;
}

/** The `state` entry, `Unknown` when it is no number. */
export function backendState(node: BackendNode): number {
  return number(node.entries.get('state')) ?? XenbusState.Unknown;
}

/** True when the toolstack wants the device gone. */
export function isClosing(node: BackendNode): boolean {
  return backendState(node) >= XenbusState.Closing || node.entries.get('online') === '0';
}

/**
 * Reads a device's description.
 *
 * @throws {BridgeError} BAD_DEVICE, saying which entry cannot be served and what can
 */
export function describeDevice(node: BackendNode): DeviceDescription {
  const key = `${node.domid}/${node.devid}`;
  const bad = (entry: string, wanted: string): BridgeError =>
    new BridgeError(
      'BAD_DEVICE',
      `Cannot serve device ${key}: its "${entry}" is ${
        node.entries.get(entry) ?? 'missing'
      }, expected ${wanted}`,
    );
  // xl.cfg(5): the number after "device" is hexadecimal.
  const type = /^virtio,device([0-9a-f]{1,4})$/i.exec(node.entries.get('type') ?? '')?.[1];
  if (type === undefined) throw bad('type', 'virtio,device<hexadecimal VIRTIO device ID>');
  if (node.entries.get('transport') !== 'mmio') throw bad('transport', 'mmio');
  if ((node.entries.get('grant_usage') ?? '0') !== '0') {
    throw bad(
      'grant_usage',
      '0: grants are not supported yet, say grant_usage=0 in the guest config',
    );
  }
  const base = number(node.entries.get('base'));
  if (base === undefined || base === 0 || base % 0x200 !== 0) {
    throw bad('base', 'the address of a virtio-mmio window');
  }
  const irq = number(node.entries.get('irq'));
  // GICv2: SPIs are 32 to 1019.
  if (irq === undefined || irq < 1 || irq > 1019) throw bad('irq', 'an interrupt number');
  return { key, guest: node.domid, deviceId: Number.parseInt(type, 16), base: BigInt(base), irq };
}

function number(text: string | undefined): number | undefined {
  if (text === undefined || !/^(0x[0-9a-f]+|[0-9]+)$/i.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}
