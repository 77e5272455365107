/**
 * vhost-user, "Feature negotiation": virtio feature bit by which protocol features are negotiated. No
 * virtio device has it.
 */
export const VHOST_USER_F_PROTOCOL_FEATURES = 30;
/** linux/vhost_types.h: virtio feature bit by which dirty logging is switched on. */
export const VHOST_F_LOG_ALL = 26;

/**
 * Protocol feature bits. 20 to 22 are as QEMU assigned them in 2026; rust-vmm's vhost crate took 20
 * and later 21 for SHMEM up to release 0.16.
 */
export const VHOST_USER_PROTOCOL_FEATURES = {
  VHOST_USER_PROTOCOL_F_MQ: 0,
  VHOST_USER_PROTOCOL_F_LOG_SHMFD: 1,
  VHOST_USER_PROTOCOL_F_RARP: 2,
  VHOST_USER_PROTOCOL_F_REPLY_ACK: 3,
  VHOST_USER_PROTOCOL_F_MTU: 4,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ: 5,
  VHOST_USER_PROTOCOL_F_CROSS_ENDIAN: 6,
  VHOST_USER_PROTOCOL_F_CRYPTO_SESSION: 7,
  VHOST_USER_PROTOCOL_F_PAGEFAULT: 8,
  VHOST_USER_PROTOCOL_F_CONFIG: 9,
  VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD: 10,
  VHOST_USER_PROTOCOL_F_HOST_NOTIFIER: 11,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD: 12,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE: 13,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS: 14,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS: 15,
  VHOST_USER_PROTOCOL_F_STATUS: 16,
  VHOST_USER_PROTOCOL_F_XEN_MMAP: 17,
  VHOST_USER_PROTOCOL_F_SHARED_OBJECT: 18,
  VHOST_USER_PROTOCOL_F_DEVICE_STATE: 19,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT: 20,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES: 21,
  VHOST_USER_PROTOCOL_F_SHMEM: 22,
} as const;

/** Verbatim name of a protocol feature. */
export type ProtocolFeature = keyof typeof VHOST_USER_PROTOCOL_FEATURES;

/** Mask of a feature bit by number. */
export function featureMask(bit: number): bigint {
  return 1n << BigInt(bit);
}

/** Mask of protocol features by name. */
export function protocolFeatureMask(...names: readonly ProtocolFeature[]): bigint {
  return names.reduce((mask, name) => mask | featureMask(VHOST_USER_PROTOCOL_FEATURES[name]), 0n);
}

/** True when `mask` has the protocol feature. */
export function hasProtocolFeature(mask: bigint, name: ProtocolFeature): boolean {
  return (mask & protocolFeatureMask(name)) !== 0n;
}

/** Names of the protocol features in a mask, unknown bits as `bit <n>`. */
export function protocolFeatureNames(mask: bigint): string[] {
  const names: string[] = [];
  const byBit = new Map<number, string>(
    Object.entries(VHOST_USER_PROTOCOL_FEATURES).map(([name, bit]) => [bit, name]),
  );
  for (let bit = 0; bit < 64; bit++) {
    if ((mask & featureMask(bit)) === 0n) continue;
    names.push(byBit.get(bit)?.slice('VHOST_USER_PROTOCOL_F_'.length) ?? `bit ${bit}`);
  }
  return names;
}
