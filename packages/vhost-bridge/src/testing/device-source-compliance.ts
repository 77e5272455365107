import { deepEqual, equal, ok } from 'node:assert/strict';
import { sourceTroubleCases } from './device-source-compliance-trouble.ts';
import {
  allRemoved,
  announced,
  comingUp,
  errors,
  type SourceComplianceCase,
} from './source-subject.ts';
import { settle, until } from './waits.ts';

/** The suite, as data: run each case on every source. */
export const sourceComplianceCases: readonly SourceComplianceCase[] = [
  {
    section: 'guests',
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
    section: 'guests',
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
    section: 'devices',
    name: 'announces each device once, whatever else changes',
    async run(subject) {
      const { source, sink, announcements } = subject;
      await source.start(sink);
      subject.appear(1);
      await announced(subject, 1);
      announcements.noise();
      await settle();
      equal(sink.added.length, 2);
    },
  },
  {
    section: 'guests',
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
    section: 'devices',
    name: 'tells the toolstack when a device is up, where that listens',
    async run(subject) {
      const [first, second] = subject.keys(1);
      await comingUp(subject, 1);
      await settle();
      const before = subject.handshake ? 'announced' : undefined;
      deepEqual([subject.state(first), subject.state(second)], [before, before]);
      subject.sink.adding.get(first)?.succeed();
      if (subject.handshake) await until(() => subject.state(first) === 'up');
      await settle();
      equal(subject.state(first), subject.handshake ? 'up' : undefined);
      equal(subject.state(second), before);
    },
  },
  {
    section: 'devices',
    name: 'lets a device fail without harm to any other',
    async run(subject) {
      const { sink, holds, keys, book } = subject;
      await comingUp(subject, 1);
      const [first, second] = keys(1);
      sink.adding.get(first)?.fail(new Error('no back-end'));
      await until(() => book.saying('device cannot be served').length === 1);
      sink.adding.get(second)?.succeed();
      await until(() => holds.of(1) === 0);
      if (subject.handshake) await until(() => subject.state(second) === 'up');
      equal(subject.state(first), subject.handshake ? 'announced' : undefined);
      sink.auto = true;
      subject.appear(2);
      await announced(subject, 2);
      equal(errors(subject).length, 1);
    },
  },
  {
    section: 'guests',
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
    section: 'guests',
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
    section: 'devices',
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
  ...sourceTroubleCases,
];
