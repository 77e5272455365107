/**
 * Guest memory for tests, and the suite that every implementation of `GuestMemory` passes.
 *
 * @packageDocumentation
 */
export * from './compliance.ts';
export * from './foreign-kernel.ts';
export * from './forwarding-memory.ts';
export * from './guest-memory-buffer.ts';
export * from './loan-ledger.ts';
export * from './tardy-memory.ts';
