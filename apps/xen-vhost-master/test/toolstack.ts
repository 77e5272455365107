import type { FakeXenStored } from '@node-vmm/xen-store/testing';

const ROOT = '/local/domain/0/backend/virtio';

/** What `xl` does in the xenstore for `virtio = [ ... ]`. */
export class Toolstack {
  readonly #stored: FakeXenStored;

  constructor(stored: FakeXenStored) {
    this.#stored = stored;
  }

  /** Announces devices, all entries at once as libxl's transaction does. */
  announce(keys: readonly string[], changes: Record<string, string> = {}): void {
    for (const key of keys) {
      const [domid, devid] = key.split('/').map(Number) as [number, number];
      const entries: Record<string, string> = {
        frontend: `/local/domain/${domid}/device/virtio/${devid}`,
        'frontend-id': String(domid),
        online: '1',
        state: '1',
        type: 'virtio,device22',
        transport: 'mmio',
        base: `0x${(0x200_0000 + devid * 0x200).toString(16)}`,
        irq: String(33 + devid),
        grant_usage: '0',
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
