/**
 * A virtio device that only records what the transport asks of it.
 *
 * @packageDocumentation
 */
export * from './fake-virtio-device.ts';
