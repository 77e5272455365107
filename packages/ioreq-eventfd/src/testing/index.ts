/**
 * A guest for simulated machines that does not block, as the suite of `@node-vmm/vm-device/testing`
 * needs it; ends of guests of a fake Xen for threads.
 *
 * @packageDocumentation
 */
export * from './fake-xen-ends.ts';
export * from './simulated-test-guest.ts';
