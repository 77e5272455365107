/**
 * A xenstored in memory to test clients on, and the rules that it and the real one both keep.
 *
 * @packageDocumentation
 */
export * from './compliance.ts';
export { FakeClient } from './fake-client.ts';
export * from './fake-tree.ts';
export * from './fake-xenstored.ts';
