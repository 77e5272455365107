import { featureWord, VIRTIO_F_VERSION_1, type VirtioDevice } from '@node-vmm/virtio-device';

/** A device whose back-end is the benchmark's: here it does nothing. */
export const quietDevice: VirtioDevice = {
  deviceId: 4,
  vendorId: 0x1af4,
  features: featureWord(VIRTIO_F_VERSION_1),
  queueMaxSizes: [64],
  readConfig: () => false,
  writeConfig: () => undefined,
  acceptFeatures: () => true,
  activate: () => undefined,
  startQueue: () => undefined,
  stopQueue: () => undefined,
  notifyQueue: () => undefined,
  reset: () => undefined,
};
