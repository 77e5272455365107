/**
 * The rules that every source of devices keeps, and what sources are tested with: a sink, holds and a
 * log that remember.
 *
 * @packageDocumentation
 */

export { type LogLine, MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
export { sourceComplianceCases } from './device-source-compliance.ts';
export { Holds } from './holds.ts';
export { type Adding, RecordingSink } from './recording-sink.ts';
export type {
  Announcements,
  SourceComplianceCase,
  SourceSubject,
  ToldState,
} from './source-subject.ts';
export { settle, until } from './waits.ts';
