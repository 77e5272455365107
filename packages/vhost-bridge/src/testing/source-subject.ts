import type { ComplianceCase, MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
import type { DeviceSource } from '../device-source.ts';
import type { Holds } from './holds.ts';
import type { RecordingSink } from './recording-sink.ts';
import { settle, until } from './waits.ts';

/** Where a source hears of devices, and what can happen to it there. */
export interface Announcements {
  /** Many changes that concern no device, some of them beside the devices of guest 1. */
  noise(): void;
  /** Guests whose names and numbers make no sense, and thousands of others that are nobody. */
  nonsense(): void;
  /** From now on nothing that the source asks is answered, until `resume`. */
  hold(): void;
  /** Questions that wait for that. */
  readonly held: number;
  /** Answers the oldest question, and goes on holding. */
  step(): void;
  /** Answers all questions, and those to come. */
  resume(): void;
  /** The next question of each kind is answered with an error. */
  fail(): void;
  /** Is gone for good. */
  lose(): void;
  /** What the source has subscribed to. */
  readonly watches: number;
}

/** What a toolstack was told of a device; `announced`: nothing yet. */
export type ToldState = 'announced' | 'up' | 'closed';

/**
 * A source and the toolstack that announces its devices. There may be guests 1 to 3, and each has two
 * I2C adapters, at 0x2000000 with interrupt 33 and at 0x2000200 with 34.
 */
export interface SourceSubject {
  readonly source: DeviceSource;
  readonly sink: RecordingSink;
  readonly holds: Holds;
  readonly book: MemoryLogger;
  readonly announcements: Announcements;
  /** Creates a guest, up to where it would run. */
  appear(guest: number): void;
  /** Destroys it. */
  disappear(guest: number): void;
  /** Keys of a guest's devices. */
  keys(guest: number): readonly [string, string];
  /** Announces devices that make no sense, beside guest 1 to 3. */
  appearBroken(): void;
  /** What the toolstack was told of a device: undefined when it has none, or is never told. */
  state(key: string): ToldState | undefined;
  /** Whether the toolstack hears of states. */
  readonly handshake: boolean;
}

/** One rule that all sources keep. */
export type SourceComplianceCase = ComplianceCase<SourceSubject>;

/** Texts of what was logged as errors. */
export function errors({ book }: SourceSubject): string[] {
  return book.lines.filter(({ level }) => level === 'error').map(({ message }) => message);
}

/** Waits until both devices of a guest are announced. */
export async function announced(subject: SourceSubject, guest: number): Promise<void> {
  await until(() => subject.keys(guest).every((key) => subject.sink.present.includes(key)));
}

/** Waits until both devices of a guest are withdrawn, and all is done. */
export async function allRemoved({ sink, keys }: SourceSubject, guest: number): Promise<void> {
  await until(() => keys(guest).every((key) => !sink.present.includes(key)));
  await settle();
}

/** Begins to bring both devices of a guest up, and leaves them so. */
export async function comingUp(subject: SourceSubject, guest: number): Promise<void> {
  subject.sink.auto = false;
  await subject.source.start(subject.sink);
  subject.appear(guest);
  await until(() => subject.keys(guest).every((key) => subject.sink.adding.has(key)));
}
