/**
 * A hypervisor in memory to test device models on, and the rules that it and real Xen both keep.
 *
 * @packageDocumentation
 */
export * from './testing/compliance.ts';
export { FakeDevice } from './testing/fake-device.ts';
export * from './testing/fake-domain.ts';
export { FakeEvtchn } from './testing/fake-evtchn.ts';
export * from './testing/fake-interrupts.ts';
export * from './testing/fake-ports.ts';
export { FakePrivcmd } from './testing/fake-privcmd.ts';
export * from './testing/fake-xen.ts';
