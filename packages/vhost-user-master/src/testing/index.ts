/**
 * A scripted back-end to test front-ends on.
 *
 * @packageDocumentation
 */
export * from './fake-backend.ts';
