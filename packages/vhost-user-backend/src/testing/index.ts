/**
 * For those who write a device: a front-end with guest memory and queues connected to it in one call,
 * and the rules that every vhost-user daemon keeps, as data for any test runner.
 *
 * @packageDocumentation
 */
export { type LogLine, MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
export { BenchQueue, type RequestOptions } from './bench-queue.ts';
export * from './compliance.ts';
export * from './daemon-program.ts';
export * from './device-bench.ts';
export * from './fake-domain.ts';
export * from './front-end.ts';
export * from './guest.ts';
export * from './guest-ring.ts';
export * from './negotiate.ts';
export * from './property-run.ts';
export * from './raw-messages.ts';
export * from './sockets.ts';
export * from './waiting.ts';
