/**
 * The device side of virtqueues (VIRTIO 1.3, split rings) against hostile drivers: batches of
 * validated descriptor chains over guest memory, without allocation on the data path.
 *
 * @packageDocumentation
 */
export * from './chain-batch.ts';
export * from './defs.ts';
export * from './descriptor-chain.ts';
export * from './errors.ts';
export * from './features.ts';
export * from './queue-state.ts';
export { type SplitQueueConfig, splitRingSizes } from './split-ring.ts';
export * from './split-virtqueue.ts';
export * from './virtqueue.ts';
