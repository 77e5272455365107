import type { FakeXenStored } from '@node-vmm/xen-store/testing';

const ROOT = '/local/domain/0/backend';

/** What `xl` does in the xenstore for `virtio = [ ... ]` and `disk = [ ... ]`; keys are paths below `backend`. */
export class Toolstack {
  readonly #stored: FakeXenStored;

  constructor(stored: FakeXenStored) {
    this.#stored = stored;
  }

  /** Announces devices, all entries at once as libxl's transaction does. */
  announce(keys: readonly string[], changes: Record<string, string> = {}): void {
    for (const key of keys) {
      const [kind, guest, device] = key.split('/');
      const [domid, devid] = [Number(guest), Number(device)];
      const entries = {
        frontend: `/local/domain/${domid}/device/${kind}/${devid}`,
        'frontend-id': String(domid),
        online: '1',
        state: '1',
        ...(kind === 'virtio' ? virtioEntries(devid) : diskEntries(devid)),
        ...changes,
      };
      for (const [name, value] of Object.entries(entries)) {
        this.#stored.tree.write(`${ROOT}/${key}/${name}`, new TextEncoder().encode(value), 0);
      }
    }
    this.#stored.flush();
  }

  /** `xl destroy`, first half: asks for the device to be closed. */
  askToClose(key: string): void {
    const text = new TextEncoder();
    this.#stored.tree.write(`${ROOT}/${key}/online`, text.encode('0'), 0);
    this.#stored.tree.write(`${ROOT}/${key}/state`, text.encode('5'), 0);
    this.#stored.flush();
  }

  /** `xl destroy`, second half: removes the directory. */
  remove(key: string): void {
    this.#stored.rm(`${ROOT}/${key}`);
  }

  /** An entry of a device, undefined when there is none. */
  entry(key: string, name: string): string | undefined {
    const node = this.#stored.tree.nodes.get(`${ROOT}/${key}/${name}`);
    return node === undefined ? undefined : new TextDecoder().decode(node.value);
  }

  /** True when anything of a device is there. */
  has(key: string): boolean {
    return [...this.#stored.tree.nodes.keys()].some((path) => path.startsWith(`${ROOT}/${key}`));
  }
}

function virtioEntries(devid: number): Record<string, string> {
  return {
    type: 'virtio,device22',
    transport: 'mmio',
    base: `0x${(0x200_0000 + devid * 0x200).toString(16)}`,
    irq: String(33 + devid),
    grant_usage: '0',
  };
}

/** `xvda` is number 51712, and so on in steps of 16: docs/man/xen-vbd-interface(7). */
const XVDA = 51_712;

function diskEntries(devid: number): Record<string, string> {
  const index = (devid - XVDA) / 16;
  return {
    params: '/dev/null-disk',
    removable: '0',
    bootable: '1',
    dev: `xvd${String.fromCharCode(97 + index)}`,
    type: 'standalone',
    mode: 'w',
    'device-type': 'disk',
    'discard-enable': '1',
    specification: 'virtio',
    transport: 'mmio',
    // Decimal, unlike those of `virtio = [ ... ]`.
    base: String(0x200_0000 + index * 0x200),
    irq: String(33 + index),
  };
}
