import {
  featureMask,
  hasProtocolFeature,
  type ProtocolFeature,
  protocolFeatureMask,
  VHOST_USER_F_PROTOCOL_FEATURES,
} from '@node-vmm/vhost-user';
import { U64_MAX } from '@node-vmm/vmm-sys-util';
import type { Requester, RequestOptions } from './requester.ts';

/** Feature bit 30 as a mask. */
export const PROTOCOL_FEATURES_BIT: bigint = featureMask(VHOST_USER_F_PROTOCOL_FEATURES);

/**
 * Ours: protocol features that this library makes use of: the default of what is negotiated. Without
 * INFLIGHT_SHMFD, which {@link INFLIGHT_PROTOCOL_FEATURE} adds: whoever accepts that has to give the
 * back-end an area, and libvhost-user ends itself where there is none.
 */
export const SUPPORTED_PROTOCOL_FEATURES: bigint = protocolFeatureMask(
  'VHOST_USER_PROTOCOL_F_MQ',
  'VHOST_USER_PROTOCOL_F_REPLY_ACK',
  'VHOST_USER_PROTOCOL_F_BACKEND_REQ',
  'VHOST_USER_PROTOCOL_F_CONFIG',
  'VHOST_USER_PROTOCOL_F_RESET_DEVICE',
  'VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS',
  'VHOST_USER_PROTOCOL_F_STATUS',
  'VHOST_USER_PROTOCOL_F_XEN_MMAP',
);

/** vhost-user, "Inflight I/O tracking": to be admitted besides, by who uses an `InflightKeeper`. */
export const INFLIGHT_PROTOCOL_FEATURE: bigint = protocolFeatureMask(
  'VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD',
);

/** What the front-end wants. */
export interface Wanted {
  /** Virtio features to admit of those offered, default all. */
  readonly features?: bigint;
  /** Protocol features to admit, default {@link SUPPORTED_PROTOCOL_FEATURES}. */
  readonly protocolFeatures?: bigint;
}

/** What both sides have. */
export interface Negotiated {
  /** Virtio features that the back-end offers and the front-end admits, without bit 30. */
  readonly deviceFeatures: bigint;
  /** The back-end offers bit 30, so protocol features were negotiated, if only none. */
  readonly hasProtocolFeatures: boolean;
  readonly protocolFeatures: bigint;
  /** Queues that the back-end has, known with MQ. */
  readonly queueCount?: bigint;
  /** Memory slots that the back-end has, known with CONFIGURE_MEM_SLOTS. */
  readonly memSlots?: bigint;
}

/** Takes ownership of the device and agrees on features and protocol features. */
export async function negotiate(
  requester: Requester,
  wanted: Wanted,
  options: RequestOptions,
): Promise<Negotiated> {
  await requester.command('VHOST_USER_SET_OWNER', undefined, options);
  const { payload: offered } = await requester.request(
    'VHOST_USER_GET_FEATURES',
    undefined,
    options,
  );
  const deviceFeatures = offered & (wanted.features ?? U64_MAX) & ~PROTOCOL_FEATURES_BIT;
  if ((offered & PROTOCOL_FEATURES_BIT) === 0n) {
    return { deviceFeatures, hasProtocolFeatures: false, protocolFeatures: 0n };
  }
  const protocolFeatures = await negotiateProtocol(requester, wanted, options);
  const has = (name: ProtocolFeature): boolean => hasProtocolFeature(protocolFeatures, name);
  const ask = async (name: 'VHOST_USER_GET_QUEUE_NUM' | 'VHOST_USER_GET_MAX_MEM_SLOTS') =>
    (await requester.request(name, undefined, options)).payload;
  return {
    deviceFeatures,
    hasProtocolFeatures: true,
    protocolFeatures,
    ...(has('VHOST_USER_PROTOCOL_F_MQ')
      ? { queueCount: await ask('VHOST_USER_GET_QUEUE_NUM') }
      : {}),
    ...(has('VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS')
      ? { memSlots: await ask('VHOST_USER_GET_MAX_MEM_SLOTS') }
      : {}),
  };
}

async function negotiateProtocol(
  requester: Requester,
  wanted: Wanted,
  options: RequestOptions,
): Promise<bigint> {
  const { payload: offered } = await requester.request(
    'VHOST_USER_GET_PROTOCOL_FEATURES',
    undefined,
    options,
  );
  const features = offered & (wanted.protocolFeatures ?? SUPPORTED_PROTOCOL_FEATURES);
  await requester.command('VHOST_USER_SET_PROTOCOL_FEATURES', features, options);
  requester.replyAck = hasProtocolFeature(features, 'VHOST_USER_PROTOCOL_F_REPLY_ACK');
  requester.xenMmap = hasProtocolFeature(features, 'VHOST_USER_PROTOCOL_F_XEN_MMAP');
  return features;
}
