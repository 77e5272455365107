/**
 * The virtio-mmio v2 register machine that every front-end shares: VIRTIO 1.3 §4.2.
 *
 * @packageDocumentation
 */
export * from '@node-vmm/virtio-bindings/device-status';
export * from '@node-vmm/virtio-bindings/feature-bits';
export * from '@node-vmm/virtio-bindings/mmio';
export * from '@node-vmm/virtio-bindings/reserved-feature-bits';
export { TRANSPORT_COUNTERS, type TransportCounters } from './faults.ts';
export { type MmioTransportOptions, VirtioMmioTransport } from './mmio-transport.ts';
export type { QueueRegistersState } from './queue-registers.ts';
export { RegisterMemory } from './register-memory.ts';
export { type MmioTransportState, transportState } from './transport-state.ts';
export type { QueueConfig, VirtioDevice } from './virtio-device.ts';
