import type { DeviceDescription, DeviceSite } from '@node-vmm/vhost-bridge';
import { VIRTIO_MMIO_WINDOW_SIZE } from '@node-vmm/virtio-bindings';
import { BridgeError } from './errors.ts';
import { parseWholeNumber } from './fields.ts';

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

/** A back-end's directory in the xenstore, as libxl writes it. */
export interface BackendNode {
  /** `<kind>/<domid>/<devid>`: its path below `backend`, and the device's key. */
  readonly key: string;
  readonly domid: number;
  /** Text of those entries of the protocol that there are. */
  readonly entries: ReadonlyMap<string, string>;
}

/** How a toolstack describes virtio devices below `backend/<kind>/<domid>/<devid>`. */
export interface XenbusProtocol {
  readonly kind: string;
  /** The entries that are read of each device; `state` and `online` are read of all. */
  readonly entries: readonly string[];
  /**
   * True when every device of this kind is ours: its guest is held before anything is read. Else it is
   * held once {@link XenbusProtocol.describe} has told that the device is ours.
   */
  readonly exclusive: boolean;
  /**
   * True when the toolstack waits for InitWait before it lets the guest run, for ten seconds: it is
   * told as soon as the window is claimed, and a back-end may be later. Else InitWait says that the
   * device is up.
   */
  readonly awaited: boolean;
  /**
   * Reads a device's description.
   *
   * @returns undefined when the device is another server's
   * @throws {BridgeError} BAD_DEVICE, saying which entry cannot be served and what can
   */
  describe(node: BackendNode): Promise<DeviceDescription | undefined>;
}

/** The `state` entry, `Unknown` when it is no number. */
export function backendState(node: BackendNode): number {
  return parseWholeNumber(node.entries.get('state')) ?? XenbusState.Unknown;
}

/** True when the toolstack wants the device gone. */
export function isClosing(node: BackendNode): boolean {
  return backendState(node) >= XenbusState.Closing || node.entries.get('online') === '0';
}

/** What a toolstack says of a device, but for what changes as it is served. */
export function announcementOf({ entries }: BackendNode): string {
  return JSON.stringify([...entries].filter(([name]) => name !== 'state' && name !== 'online'));
}

/** The error for an entry that cannot be served. */
export function badEntry(node: BackendNode, entry: string, wanted: string): BridgeError {
  const found = node.entries.get(entry) ?? 'missing';
  return new BridgeError(
    'BAD_DEVICE',
    `Cannot serve device ${node.key}: its "${entry}" is ${found.slice(0, 80)}, expected ${wanted}`,
  );
}

/**
 * Where a device's guest looks for it, whatever else is wrong with what is said of it.
 *
 * @returns undefined where that is not in memory, or makes no sense
 */
export function siteOf(node: BackendNode): DeviceSite | undefined {
  const base = windowBase(node);
  if (base === undefined || node.entries.get('transport') !== 'mmio') return undefined;
  return { key: node.key, guest: node.domid, base: BigInt(base) };
}

function windowBase(node: BackendNode): number | undefined {
  const base = parseWholeNumber(node.entries.get('base'));
  return base === 0 || (base ?? 1) % VIRTIO_MMIO_WINDOW_SIZE !== 0 ? undefined : base;
}

/**
 * Reads the entries that tell where a device is: `transport`, `grant_usage`, `base` and `irq`.
 *
 * @throws {BridgeError} BAD_DEVICE
 */
export function describePlace(node: BackendNode): { base: bigint; irq: number } {
  if (node.entries.get('transport') !== 'mmio') throw badEntry(node, 'transport', 'mmio');
  if ((node.entries.get('grant_usage') ?? '0') !== '0') {
    throw badEntry(
      node,
      'grant_usage',
      '0: grants are not supported yet, say grant_usage=0 in the guest config',
    );
  }
  const base = windowBase(node);
  if (base === undefined) {
    throw badEntry(node, 'base', 'the address of a virtio-mmio window');
  }
  const irq = parseWholeNumber(node.entries.get('irq'));
  // GICv2: SPIs are 32 to 1019.
  if (irq === undefined || irq < 1 || irq > 1019)
    throw badEntry(node, 'irq', 'an interrupt number');
  return { base: BigInt(base), irq };
}
