import { featureMask, protocolFeatureMask, VHOST_F_LOG_ALL } from '@node-vmm/vhost-user';
import {
  hasFeature,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_NOTIF_CONFIG_DATA,
  VIRTIO_F_NOTIFICATION_DATA,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_SR_IOV,
} from '@node-vmm/virtio-bindings';
import type { SupportedDevice } from './supported-devices.ts';

/**
 * What guests may be offered of what a back-end has. Held back: the dirty log, which is not the
 * guest's business; ACCESS_PLATFORM, which vhost-user ties to an IOTLB; packed rings, whose position
 * cannot be read from guest memory after a back-end died; and notifications with data, which an
 * eventfd cannot carry.
 */
export const OFFERED_FEATURES: bigint =
  0xffff_ffff_ffff_ffffn &
  ~[
    VHOST_F_LOG_ALL,
    VIRTIO_F_ACCESS_PLATFORM,
    VIRTIO_F_RING_PACKED,
    VIRTIO_F_SR_IOV,
    VIRTIO_F_NOTIFICATION_DATA,
    VIRTIO_F_NOTIF_CONFIG_DATA,
  ].reduce((mask, bit) => mask | featureMask(bit), 0n);

/** Protocol features that the bridge makes use of. */
export const USED_PROTOCOL_FEATURES: bigint = protocolFeatureMask(
  'VHOST_USER_PROTOCOL_F_MQ',
  'VHOST_USER_PROTOCOL_F_REPLY_ACK',
  'VHOST_USER_PROTOCOL_F_BACKEND_REQ',
  'VHOST_USER_PROTOCOL_F_CONFIG',
  'VHOST_USER_PROTOCOL_F_RESET_DEVICE',
  'VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS',
  'VHOST_USER_PROTOCOL_F_XEN_MMAP',
);

/**
 * Whether back-ends of a device record their requests in flight: where the next could not tell from the
 * queues which those are. Others are spared the work.
 */
export function recordsInflight({ inOrder, stateful }: SupportedDevice): boolean {
  return inOrder !== true || stateful === true;
}

/**
 * Whether back-ends return what they took from a queue in order: VIRTIO_F_IN_ORDER says so, or the
 * device's type does.
 *
 * @param features - negotiated
 */
export function returnsInOrder(
  inOrder: SupportedDevice['inOrder'],
  features: bigint,
  queue: number,
): boolean {
  if (hasFeature(features, VIRTIO_F_IN_ORDER)) return true;
  return typeof inOrder === 'boolean' ? inOrder : inOrder.includes(queue);
}
