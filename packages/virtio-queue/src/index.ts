/**
 * The device side of virtqueues (VIRTIO 1.3, split rings) against hostile drivers: batches of
 * validated descriptor chains over guest memory, without allocation on the data path.
 * `createVirtqueue` makes a `Virtqueue`; nobody else needs to know how its ring is laid out.
 *
 * @packageDocumentation
 */
export * from '@node-vmm/virtio-bindings/feature-bits';
export * from '@node-vmm/virtio-bindings/reserved-feature-bits';
export * from '@node-vmm/virtio-bindings/split-virtqueues';
/** Names of before, see `@node-vmm/virtio-bindings`. @deprecated */
export {
  VRING_AVAIL as vring_avail,
  VRING_DESC as vring_desc,
  VRING_USED as vring_used,
  VRING_USED_ELEM as vring_used_elem,
} from '@node-vmm/virtio-bindings/split-virtqueues';
export * from './chain-batch.ts';
export * from './descriptor-chain.ts';
export * from './errors.ts';
export type * from './inflight-region.ts';
export type { RingMemory, RingSizes } from './ring-layout.ts';
export type * from './ring-observer.ts';
export * from './rings.ts';
export type * from './virtqueue.ts';
export type * from './virtqueue-config.ts';
