/**
 * The suite that every `Vm` passes, and a guest for simulated machines that does not block.
 *
 * @packageDocumentation
 */
export * from './simulated-test-guest.ts';
export * from './vm-compliance.ts';
