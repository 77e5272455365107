import type { DeviceDescription } from '@node-vmm/vhost-bridge';
import type { SupportedDevice } from '@node-vmm/vhost-bridge/supported-devices';
import { type BackendNode, badEntry, describePlace, type XenbusProtocol } from './backend-node.ts';

/** `virtio = [ "type=virtio,device<ID>,transport=mmio" ]` of xl 4.18 and later. */
export class VirtioProtocol implements XenbusProtocol {
  readonly kind = 'virtio';
  readonly entries = ['type', 'transport', 'base', 'irq', 'grant_usage'];
  readonly exclusive = true;
  readonly awaited = false;
  readonly #candidates: () => readonly SupportedDevice[];

  /** @param candidates - the types that there are back-ends for now: what a device without a number may be */
  constructor(candidates: () => readonly SupportedDevice[] = () => []) {
    this.#candidates = candidates;
  }

  async describe(node: BackendNode): Promise<DeviceDescription> {
    const { key, domid } = node;
    const deviceId = this.#deviceId(node);
    return { key, guest: domid, deviceId, ...describePlace(node) };
  }

  #deviceId(node: BackendNode): number {
    const type = node.entries.get('type') ?? '';
    // xl.cfg(5): its form for any device, of which a guest finds out by itself.
    if (type === 'virtio,device') return this.#onlyCandidate(node);
    // The number after "device" is hexadecimal; 0 is no device.
    const digits = /^virtio,device([0-9a-f]{1,4})$/i.exec(type)?.[1] ?? '0';
    const deviceId = Number.parseInt(digits, 16);
    if (deviceId !== 0) return deviceId;
    throw badEntry(node, 'type', 'virtio,device<hexadecimal VIRTIO device ID>');
  }

  #onlyCandidate(node: BackendNode): number {
    const candidates = this.#candidates();
    const [only] = candidates;
    if (only !== undefined && candidates.length === 1) return only.deviceId;
    const types = candidates.map(
      ({ name, deviceId }) => `type=virtio,device${deviceId.toString(16)} for ${name}`,
    );
    throw badEntry(
      node,
      'type',
      only === undefined
        ? 'a number after it: there is no back-end here that it could stand for (--name, --spawn or a socket)'
        : `a number after it, since there are back-ends of several types here: say ${types.join(', or ')}`,
    );
  }
}
