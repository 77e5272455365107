/**
 * A guest without an operating system that drives virtio devices, and the assembler that makes it.
 *
 * @packageDocumentation
 */

export * from './program/image.ts';
export { type Assembled, assemble } from './x86/assembler.ts';
export * from './x86/errors.ts';
