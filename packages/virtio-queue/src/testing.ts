/**
 * Where the driver side was before it had a door of its own, for scripts that load it by path.
 *
 * @deprecated use `@node-vmm/virtio-queue/driver`
 */
export { SplitDriverQueue as MockDriver } from './driver/index.ts';
