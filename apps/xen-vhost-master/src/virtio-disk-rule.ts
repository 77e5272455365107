import type { SupportedDevice } from '@node-vmm/vhost-bridge/supported-devices';
import { BridgeError } from './errors.ts';
import { type DomainRef, formatDomain, parseDeviceType, parseDomain } from './fields.ts';

/** `--virtio-disk [DOMAIN:]VDEV=TYPE`: which of the toolstack's virtio disks is what device of ours. */
export interface VirtioDiskRule {
  /** Guest whose disk it is; undefined: any. */
  readonly domain: DomainRef | undefined;
  /** Name of the disk in the guest's configuration: `xvda`. */
  readonly vdev: string;
  readonly type: SupportedDevice;
}

/** @throws {BridgeError} USAGE */
export function parseVirtioDiskRule(text: string): VirtioDiskRule {
  const parts = /^(?:(.+):)?([a-z0-9]+)=(.+)$/i.exec(text);
  if (parts === null) {
    throw new BridgeError('USAGE', `expected [DOMAIN:]VDEV=TYPE, such as xvda=i2c, got "${text}"`);
  }
  const [, domain, vdev, type] = parts;
  return {
    domain: domain === undefined ? undefined : parseDomain(domain),
    vdev: vdev as string,
    type: parseDeviceType(type as string),
  };
}

/** The disk that a rule is for, as it is written. */
export function ruleSubject({ domain, vdev }: VirtioDiskRule): string {
  return domain === undefined ? vdev : `${formatDomain(domain)}:${vdev}`;
}

/** The reverse of {@link parseVirtioDiskRule}. */
export function formatVirtioDiskRule(rule: VirtioDiskRule): string {
  return `${ruleSubject(rule)}=${rule.type.name}`;
}
