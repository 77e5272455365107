/**
 * A hypervisor in memory to test device models on, and the rules that it and real Xen both keep.
 *
 * @packageDocumentation
 */
export * from './compliance.ts';
export { FakeDevice } from './fake-device.ts';
export * from './fake-domain.ts';
export { FakeEvtchn } from './fake-evtchn.ts';
export * from './fake-interrupts.ts';
export * from './fake-ports.ts';
export { FakePrivcmd } from './fake-privcmd.ts';
export { FakeThreadDevice } from './fake-thread.ts';
export * from './fake-xen.ts';
