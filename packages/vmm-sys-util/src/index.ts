/**
 * Linux system calls for virtual machine monitors: `mmap`, `eventfd`, `epoll`, `ioctl`, Unix sockets
 * that pass descriptors, and declarative struct tables. The only package of node-vmm that loads a
 * foreign function interface.
 *
 * @packageDocumentation
 */
export * from './brand.ts';
export * from './control-port.ts';
export * from './directory-lock.ts';
export * from './epoll.ts';
export * from './errno.ts';
export * from './errors.ts';
export * from './event-loop.ts';
export * from './eventfd.ts';
export * from './exit-now.ts';
export * from './fault/errors.ts';
export {
  FaultGuard,
  type FaultProtection,
  type GuardedMemory,
} from './fault/fault-guard.ts';
export type { FaultMark } from './fault/fault-table.ts';
export { FaultWatch } from './fault/fault-watch.ts';
export { mappingPageSize } from './fault/mapping-page-size.ts';
export * from './fd.ts';
export * from './file-lock.ts';
export * from './int.ts';
export * from './interrupt-timer.ts';
export * from './ioctl.ts';
export * from './level-logger.ts';
export { addressOf, type MemoryArg, viewOf } from './libc.ts';
export * from './logger.ts';
export * from './loop-timers.ts';
export * from './make-all.ts';
export type * from './metrics.ts';
export * from './mmap.ts';
export * from './poller.ts';
export * from './rate-limited-logger.ts';
export * from './sock-ctrl-msg.ts';
export type { UnixBindOptions } from './socket-file.ts';
export * from './struct.ts';
export * from './thread-interrupt.ts';
export * from './thread-options.ts';
export * from './timerfd.ts';
export * from './timers.ts';
export * from './token-bucket.ts';
export * from './unix-datagram.ts';
export * from './unix-socket.ts';
export { socketListens, UNIX_PATH_MAX } from './unix-socket-fd.ts';
