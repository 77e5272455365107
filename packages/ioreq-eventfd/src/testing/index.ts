/**
 * Guests of simulated machines and of a fake Xen, as the suite of `@node-vmm/vm-device/testing` needs them:
 * they do not block; ends of guests of a fake Xen for threads.
 *
 * @packageDocumentation
 */
export * from './fake-xen-ends.ts';
export * from './fake-xen-guest.ts';
export * from './simulated-test-guest.ts';
export * from './simulated-vm-under-test.ts';
