import { deepEqual, equal, ok } from 'node:assert/strict';
import type { FakeXenStored } from '@node-vmm/xen-store/testing';
import type { DeviceSource } from '../src/device-source.ts';
import type { Holds, RecordingSink } from './recording-sink.ts';
import { type LogBook, settle, until } from './support.ts';

// xen/include/public/io/xs_wire.h
const XS_DIRECTORY = 1;
const XS_READ = 2;

/**
 * A source and the toolstack that announces its devices. There may be guests 1 to 3, and each has two
 * I2C adapters.
 */
export interface SourceSubject {
  readonly source: DeviceSource;
  readonly sink: RecordingSink;
  readonly holds: Holds;
  readonly book: LogBook;
  readonly stored: FakeXenStored;
  /** Creates a guest, up to where it would run. */
  appear(guest: number): void;
  /** Destroys it. */
  disappear(guest: number): void;
  /** Keys of a guest's devices. */
  keys(guest: number): readonly [string, string];
  /** Announces devices that make no sense, beside guest 1 to 3. */
  appearBroken(): void;
  /** What is written of a device's state: undefined when there is none, or nothing is written ever. */
  state(key: string): string | undefined;
  /** Whether the toolstack hears of states. */
  readonly handshake: boolean;
}

/** One rule that all sources keep. */
export interface SourceComplianceCase {
  readonly name: string;
  run(subject: SourceSubject): Promise<void>;
}

function errors({ book }: SourceSubject): string[] {
  return book.lines.filter(({ level }) => level === 'error').map(({ message }) => message);
}

/** Waits until both devices of a guest are announced. */
async function announced(subject: SourceSubject, guest: number): Promise<void> {
  await until(() => subject.keys(guest).every((key) => subject.sink.present.includes(key)));
}

async function allRemoved({ sink, keys }: SourceSubject, guest: number): Promise<void> {
  await until(() => keys(guest).every((key) => !sink.present.includes(key)));
  await settle();
}

/** Begins to bring both devices of a guest up, and leaves them so. */
async function comingUp(subject: SourceSubject, guest: number): Promise<void> {
  subject.sink.auto = false;
  await subject.source.start(subject.sink);
  subject.appear(guest);
  await until(() => subject.keys(guest).every((key) => subject.sink.adding.has(key)));
}

/** The suite, as data: run each case on every source. */
export const sourceComplianceCases: readonly SourceComplianceCase[] = [
  {
    name: 'announces the devices of a guest that appears',
    async run(subject) {
      const { source, sink, keys } = subject;
      await source.start(sink);
      subject.appear(1);
      await announced(subject, 1);
      await settle();
      deepEqual(sink.present, [...keys(1)].sort());
      const [first, second] = keys(1).map((key) => sink.added.find((device) => device.key === key));
      equal(first?.guest, 1);
      equal(first.deviceId, 34);
      equal(first.base, 0x200_0000n);
      equal(first.irq, 33);
      equal(second?.base, 0x200_0200n);
      equal(second.irq, 34);
      deepEqual(errors(subject), []);
    },
  },
  {
    name: 'finds a guest that is there when it starts',
    async run(subject) {
      subject.appear(2);
      await subject.source.start(subject.sink);
      await announced(subject, 2);
      await settle();
      equal(subject.holds.of(2), 0);
    },
  },
  {
    name: 'announces each device once, whatever else changes',
    async run(subject) {
      const { source, sink, stored } = subject;
      await source.start(sink);
      subject.appear(1);
      await announced(subject, 1);
      for (let i = 0; i < 50; i++) stored.write(`/local/domain/1/noise/${i}`, 'x');
      for (const key of subject.keys(1)) stored.write(`/local/domain/0/backend/${key}/noise`, 'x');
      stored.introduce(9);
      await settle();
      equal(sink.added.length, 2);
    },
  },
  {
    name: 'holds a guest until all of its devices are placed, not until they are up',
    async run(subject) {
      const { sink, holds, keys } = subject;
      await comingUp(subject, 1);
      ok(holds.of(1) > 0);
      const [first, second] = keys(1);
      sink.adding.get(first)?.place();
      await settle();
      ok(holds.of(1) > 0, 'let go with a device missing');
      sink.adding.get(second)?.place();
      equal(holds.of(1), 0);
      for (const key of keys(1)) sink.adding.get(key)?.succeed();
      await settle();
      equal(holds.of(1), 0);
    },
  },
  {
    name: 'tells the toolstack when a device is up, where that listens',
    async run(subject) {
      const [first, second] = subject.keys(1);
      await comingUp(subject, 1);
      await settle();
      const before = subject.handshake ? '1' : undefined;
      deepEqual([subject.state(first), subject.state(second)], [before, before]);
      subject.sink.adding.get(first)?.succeed();
      if (subject.handshake) await until(() => subject.state(first) === '2');
      await settle();
      equal(subject.state(first), subject.handshake ? '2' : undefined);
      equal(subject.state(second), before);
    },
  },
  {
    name: 'lets a device fail without harm to any other',
    async run(subject) {
      const { sink, holds, keys, book } = subject;
      await comingUp(subject, 1);
      const [first, second] = keys(1);
      sink.adding.get(first)?.fail(new Error('no back-end'));
      await until(() => book.saying('device cannot be served').length === 1);
      sink.adding.get(second)?.succeed();
      await until(() => holds.of(1) === 0);
      if (subject.handshake) await until(() => subject.state(second) === '2');
      equal(subject.state(first), subject.handshake ? '1' : undefined);
      sink.auto = true;
      subject.appear(2);
      await announced(subject, 2);
      equal(errors(subject).length, 1);
    },
  },
  {
    name: 'takes the devices of a guest away with it, and of no other',
    async run(subject) {
      await subject.source.start(subject.sink);
      for (const guest of [1, 2]) {
        subject.appear(guest);
        await announced(subject, guest);
      }
      subject.disappear(1);
      await allRemoved(subject, 1);
      deepEqual(subject.sink.present, [...subject.keys(2)].sort());
      for (const key of subject.keys(1)) equal(subject.state(key), undefined);
      deepEqual(errors(subject), []);
    },
  },
  {
    name: 'takes a guest that comes back',
    async run(subject) {
      await subject.source.start(subject.sink);
      for (let round = 1; round <= 3; round++) {
        subject.appear(1);
        await announced(subject, 1);
        equal(subject.sink.added.length, 2 * round);
        subject.disappear(1);
        await allRemoved(subject, 1);
        equal(subject.holds.of(1), 0);
      }
      deepEqual(errors(subject), []);
    },
  },
  {
    name: 'takes devices away that are coming up',
    async run(subject) {
      await comingUp(subject, 1);
      subject.disappear(1);
      await allRemoved(subject, 1);
      equal(subject.holds.of(1), 0);
      deepEqual([...subject.sink.removed].sort(), [...subject.keys(1)].sort());
      for (const key of subject.keys(1)) equal(subject.state(key), undefined);
    },
  },
  {
    name: 'close: takes every device down, lets every guest go, and announces nothing more',
    async run(subject) {
      const { source, sink, holds, stored } = subject;
      await source.start(sink);
      subject.appear(1);
      await announced(subject, 1);
      if (subject.handshake) {
        await until(() => subject.keys(1).every((key) => subject.state(key) === '2'));
      }
      sink.auto = false;
      subject.appear(2);
      await until(() => subject.keys(2).every((key) => sink.adding.has(key)));
      ok(holds.of(2) > 0);
      await source.close();
      deepEqual(sink.present, []);
      deepEqual([holds.of(1), holds.of(2)], [0, 0]);
      const state = subject.handshake ? '6' : undefined;
      for (const guest of [1, 2]) {
        for (const key of subject.keys(guest)) equal(subject.state(key), state);
      }
      equal(stored.watches, 0);
      subject.appear(3);
      await settle();
      equal(sink.added.length, 4);
      await source.close();
    },
  },
  {
    name: 'close: ends also while it reads',
    async run(subject) {
      const { source, sink, holds, stored } = subject;
      await source.start(sink);
      await settle();
      stored.hold();
      subject.appear(1);
      await until(() => stored.held > 0);
      const closed = source.close();
      stored.resume();
      await closed;
      await settle();
      deepEqual(sink.present, []);
      equal(holds.of(1), 0);
    },
  },
  {
    name: 'bears a guest that vanishes between two reads',
    async run(subject) {
      const { source, sink, holds, stored } = subject;
      await source.start(sink);
      await settle();
      for (let reads = 0; reads < 12; reads++) {
        stored.hold();
        subject.appear(1);
        for (let i = 0; i < reads; i++) {
          await settle();
          stored.step();
        }
        subject.disappear(1);
        stored.resume();
        await settle();
        await until(() => subject.keys(1).every((key) => !sink.present.includes(key)));
        await until(() => holds.of(1) === 0);
      }
      for (const key of subject.keys(1)) equal(subject.state(key), undefined);
      deepEqual(errors(subject), []);
      subject.appear(1);
      await announced(subject, 1);
    },
  },
  {
    name: 'bears what makes no sense in the xenstore, and a huge directory',
    async run(subject) {
      const { source, sink, stored, holds } = subject;
      await source.start(sink);
      for (const root of ['backend/virtio', 'backend/virtio_disk']) {
        for (const name of ['01', '-1', '1e3', '0x1', 'x', '99999999999', '1/a', '7/99999999999']) {
          stored.write(`/local/domain/0/${root}/${name}/0/state`, '1');
        }
      }
      for (const name of ['01', '-1', '1e3', '0x1', 'x', '99999999999', '77777']) {
        stored.write(`/local/domain/${name}/name`, 'guest1');
      }
      for (let i = 0; i < 3000; i++) {
        stored.tree.write(`/local/domain/${'n'.repeat(40)}${i}`, new Uint8Array(), 0);
        stored.tree.write(`/local/domain/0/backend/${'n'.repeat(40)}${i}`, new Uint8Array(), 0);
      }
      stored.flush();
      subject.appearBroken();
      subject.appear(2);
      await announced(subject, 2);
      await settle();
      deepEqual(sink.present, [...subject.keys(2)].sort());
      await until(() => holds.held.every((domid) => holds.of(domid) === 0));
    },
  },
  {
    name: 'goes on after an error of the xenstore, with no guest left standing',
    async run(subject) {
      const { source, sink, holds, stored } = subject;
      await source.start(sink);
      await settle();
      stored.failNext(XS_DIRECTORY, 'EIO');
      stored.failNext(XS_READ, 'EIO');
      subject.appear(1);
      await announced(subject, 1);
      await until(() => holds.of(1) === 0);
    },
  },
  {
    name: 'ends when the xenstore has gone away',
    async run(subject) {
      const { source, sink, holds, stored } = subject;
      await source.start(sink);
      subject.appear(1);
      await announced(subject, 1);
      stored.dropConnections();
      await settle();
      await source.close();
      deepEqual(sink.present, []);
      equal(holds.of(1), 0);
    },
  },
];
