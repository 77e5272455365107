import type { DeviceDescription } from '@node-vmm/vhost-bridge';
import { type BackendNode, badEntry, describePlace, type XenbusProtocol } from './backend-node.ts';

/** `virtio = [ "type=virtio,device<ID>,transport=mmio" ]` of xl 4.18 and later. */
export class VirtioProtocol implements XenbusProtocol {
  readonly kind = 'virtio';
  readonly entries = ['type', 'transport', 'base', 'irq', 'grant_usage'];
  readonly exclusive = true;
  readonly awaited = false;

  async describe(node: BackendNode): Promise<DeviceDescription> {
    // xl.cfg(5): the number after "device" is hexadecimal.
    const type = /^virtio,device([0-9a-f]{1,4})$/i.exec(node.entries.get('type') ?? '')?.[1];
    if (type === undefined) {
      throw badEntry(node, 'type', 'virtio,device<hexadecimal VIRTIO device ID>');
    }
    const { key, domid } = node;
    return { key, guest: domid, deviceId: Number.parseInt(type, 16), ...describePlace(node) };
  }
}
