/**
 * Device side of virtqueues (VIRTIO 1.3 split ring) against hostile guests, with a mock driver for tests.
 *
 * @packageDocumentation
 */
export {};
