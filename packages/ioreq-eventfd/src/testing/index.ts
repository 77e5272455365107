/**
 * A guest for simulated machines that does not block, as the suite of `@node-vmm/vm-device/testing`
 * needs it.
 *
 * @packageDocumentation
 */
export * from './simulated-test-guest.ts';
