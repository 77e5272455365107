/**
 * A xenstored in memory to test clients on, and the rules that it and the real one both keep.
 *
 * @packageDocumentation
 */
export * from './testing/compliance.ts';
export { FakeClient } from './testing/fake-client.ts';
export * from './testing/fake-tree.ts';
export * from './testing/fake-xenstored.ts';
