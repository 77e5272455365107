import { deepEqual, equal, ok } from 'node:assert/strict';
import { announced, errors, type SourceComplianceCase } from './source-subject.ts';
import { settle, until } from './waits.ts';

/** Rules for when a source is closed, and for what is announced wrongly, late or not at all. */
export const sourceTroubleCases: readonly SourceComplianceCase[] = [
  {
    section: 'close',
    name: 'takes every device down, lets every guest go, and announces nothing more',
    async run(subject) {
      const { source, sink, holds, announcements } = subject;
      await source.start(sink);
      subject.appear(1);
      await announced(subject, 1);
      if (subject.handshake) {
        await until(() => subject.keys(1).every((key) => subject.state(key) === 'up'));
      }
      sink.auto = false;
      subject.appear(2);
      await until(() => subject.keys(2).every((key) => sink.adding.has(key)));
      ok(holds.of(2) > 0);
      await source.close();
      deepEqual(sink.present, []);
      deepEqual([holds.of(1), holds.of(2)], [0, 0]);
      const state = subject.handshake ? 'closed' : undefined;
      for (const guest of [1, 2]) {
        for (const key of subject.keys(guest)) equal(subject.state(key), state);
      }
      equal(announcements.watches, 0);
      subject.appear(3);
      await settle();
      equal(sink.added.length, 4);
      await source.close();
    },
  },
  {
    section: 'close',
    name: 'ends also while it reads',
    async run(subject) {
      const { source, sink, holds, announcements } = subject;
      await source.start(sink);
      await settle();
      announcements.hold();
      subject.appear(1);
      await until(() => announcements.held > 0);
      const closed = source.close();
      announcements.resume();
      await closed;
      await settle();
      deepEqual(sink.present, []);
      equal(holds.of(1), 0);
    },
  },
  {
    section: 'trouble',
    name: 'bears a guest that vanishes between two reads',
    async run(subject) {
      const { source, sink, holds, announcements } = subject;
      await source.start(sink);
      await settle();
      for (let reads = 0; reads < 12; reads++) {
        announcements.hold();
        subject.appear(1);
        for (let i = 0; i < reads; i++) {
          await settle();
          announcements.step();
        }
        subject.disappear(1);
        announcements.resume();
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
    section: 'trouble',
    name: 'bears what makes no sense, and a huge number of it',
    async run(subject) {
      const { source, sink, announcements, holds } = subject;
      await source.start(sink);
      announcements.nonsense();
      subject.appearBroken();
      subject.appear(2);
      await announced(subject, 2);
      await settle();
      deepEqual(sink.present, [...subject.keys(2)].sort());
      await until(() => holds.held.every((guest) => holds.of(guest) === 0));
    },
  },
  {
    section: 'trouble',
    name: 'goes on after an error, with no guest left standing',
    async run(subject) {
      const { source, sink, holds, announcements } = subject;
      await source.start(sink);
      await settle();
      announcements.fail();
      subject.appear(1);
      await announced(subject, 1);
      await until(() => holds.of(1) === 0);
    },
  },
  {
    section: 'trouble',
    name: 'ends when there is nobody any more who could announce devices',
    async run(subject) {
      const { source, sink, holds, announcements } = subject;
      await source.start(sink);
      subject.appear(1);
      await announced(subject, 1);
      announcements.lose();
      await settle();
      await source.close();
      deepEqual(sink.present, []);
      equal(holds.of(1), 0);
    },
  },
];
