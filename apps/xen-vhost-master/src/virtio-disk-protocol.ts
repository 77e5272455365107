import type { DeviceDescription } from '@node-vmm/vhost-bridge';
import { deviceByName, type SupportedDevice } from '@node-vmm/vhost-bridge/supported-devices';
import { type BackendNode, badEntry, describePlace, type XenbusProtocol } from './backend-node.ts';
import type { Domains } from './domains.ts';
import { matchesDomain } from './fields.ts';
import type { VirtioDiskRule } from './virtio-disk-rule.ts';

/**
 * `disk = [ "backendtype=standalone,specification=virtio,..." ]` of xl 4.17 and later: the protocol of
 * EPAM's virtio-disk. What is behind the window is told by its DeviceID register alone, so any type
 * works. Other servers use the same directory, so a device is ours only when we were told so.
 */
export class VirtioDiskProtocol implements XenbusProtocol {
  readonly kind = 'virtio_disk';
  readonly entries = ['dev', 'specification', 'transport', 'base', 'irq', 'grant_usage'];
  readonly exclusive = false;
  readonly awaited = true;
  readonly #rules: readonly VirtioDiskRule[];
  readonly #others: SupportedDevice | undefined;
  readonly #domains: Domains;

  /**
   * @param components - `blk`: every disk that no rule names is ours, of type blk
   */
  constructor(components: {
    readonly rules: readonly VirtioDiskRule[];
    readonly blk: boolean;
    readonly domains: Domains;
  }) {
    this.#rules = components.rules;
    this.#others = components.blk ? deviceByName('blk') : undefined;
    this.#domains = components.domains;
  }

  async describe(node: BackendNode): Promise<DeviceDescription | undefined> {
    const type = await this.#typeOf(node);
    if (type === undefined) return undefined;
    if (node.entries.get('specification') !== 'virtio') {
      throw badEntry(node, 'specification', 'virtio: say specification=virtio in the guest config');
    }
    const { key, domid } = node;
    return { key, guest: domid, deviceId: type.deviceId, ...describePlace(node) };
  }

  async #typeOf({ domid, entries }: BackendNode): Promise<SupportedDevice | undefined> {
    const rules = this.#rules.filter(({ vdev }) => vdev === entries.get('dev'));
    // A rule for this guest comes before one for all.
    const named = rules.some(({ domain }) => domain !== undefined && 'name' in domain);
    const name = named ? await this.#domains.nameOf(domid) : undefined;
    const rule =
      rules.find(({ domain }) => domain !== undefined && matchesDomain(domain, domid, name)) ??
      rules.find(({ domain }) => domain === undefined);
    return rule?.type ?? this.#others;
  }
}
