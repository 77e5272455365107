import {
  featureMask,
  protocolFeatureMask,
  VHOST_USER_F_PROTOCOL_FEATURES,
} from '@node-vmm/vhost-user';
import {
  featureWord,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '@node-vmm/virtio-bindings';
import type { DeviceDescription } from '../between/worker-calls.ts';

/** Feature bits that change how a ring is served. */
export const RING_FEATURES: bigint = featureWord(
  VIRTIO_RING_F_INDIRECT_DESC,
  VIRTIO_RING_F_EVENT_IDX,
);

export const PROTOCOL_FEATURES_BIT: bigint = featureMask(VHOST_USER_F_PROTOCOL_FEATURES);

/**
 * What the framework adds to a device's features. RING_RESET is not among them: vhost-user has no
 * message for it, and a front-end such as QEMU would accept the bit without telling us of resets.
 */
export const FRAMEWORK_FEATURES: bigint =
  featureWord(VIRTIO_F_VERSION_1) | RING_FEATURES | PROTOCOL_FEATURES_BIT;

/**
 * Protocol features for a device.
 *
 * @param device - CONFIG is offered where it has configuration space, and INFLIGHT_SHMFD where its
 * successor has the state to go on with its requests
 * @param memory - how front-ends may give memory: XEN_MMAP of Xen domains (QEMU 8.2 to 11.1 accepts the bit
 * whenever it is offered, on machines without Xen as well), CONFIGURE_MEM_SLOTS region by region
 */
export function protocolFeaturesFor(
  { configSize, losesState }: Pick<DeviceDescription, 'configSize' | 'losesState'>,
  { xenMmap, memSlots }: { readonly xenMmap: boolean; readonly memSlots: boolean },
): bigint {
  const always = protocolFeatureMask(
    'VHOST_USER_PROTOCOL_F_MQ',
    'VHOST_USER_PROTOCOL_F_REPLY_ACK',
    'VHOST_USER_PROTOCOL_F_BACKEND_REQ',
    'VHOST_USER_PROTOCOL_F_RESET_DEVICE',
    'VHOST_USER_PROTOCOL_F_STATUS',
  );
  const config = configSize > 0 ? protocolFeatureMask('VHOST_USER_PROTOCOL_F_CONFIG') : 0n;
  const inflight = losesState ? 0n : protocolFeatureMask('VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD');
  const xen = xenMmap ? protocolFeatureMask('VHOST_USER_PROTOCOL_F_XEN_MMAP') : 0n;
  const slots = memSlots ? protocolFeatureMask('VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS') : 0n;
  return always | config | inflight | xen | slots;
}
