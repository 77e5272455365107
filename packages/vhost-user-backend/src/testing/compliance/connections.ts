import { equal } from 'node:assert/strict';
import { FrontEnd } from '../front-end.ts';
import { Guest } from '../guest.ts';
import { GuestRing } from '../guest-ring.ts';
import { addProbes } from './rings.ts';
import { connect, type DeviceCase, leavesNothing, probe, serves } from './subject.ts';

/** Asks, and goes before the answer comes, or because the connection has ended. */
function ask(
  frontEnd: FrontEnd,
  name: 'VHOST_USER_GET_FEATURES' | 'VHOST_USER_GET_PROTOCOL_FEATURES',
): void {
  frontEnd.ask(name, undefined).catch(() => undefined);
}

/** @returns undefined where nobody listens who serves somebody else */
function arrive(socketPath: string): FrontEnd | undefined {
  try {
    return new FrontEnd(socketPath);
  } catch {
    return undefined;
  }
}

/** What a front-end sends until its first ring runs, a step each. */
const STEPS: readonly ((frontEnd: FrontEnd, guest: Guest, ring: GuestRing) => void)[] = [
  (f) => f.send('VHOST_USER_SET_OWNER', undefined),
  (f) => ask(f, 'VHOST_USER_GET_FEATURES'),
  (f) => ask(f, 'VHOST_USER_GET_PROTOCOL_FEATURES'),
  (f) => f.send('VHOST_USER_SET_PROTOCOL_FEATURES', 1n << 3n),
  (f) => f.send('VHOST_USER_SET_FEATURES', (1n << 30n) | (1n << 32n)),
  (f, guest) => f.send('VHOST_USER_SET_MEM_TABLE', guest.regions, guest.fds),
  (f, _, ring) => ring.setUp(f),
  (f) => f.send('VHOST_USER_SET_VRING_ENABLE', { index: 0, num: 1 }),
  (_f, _g, ring) => ring.submit([1], [2], [3]),
  (f, guest) => f.send('VHOST_USER_SET_MEM_TABLE', guest.regions, guest.fds),
  (f) => void f.ask('VHOST_USER_GET_VRING_BASE', { index: 0, num: 0 }).catch(() => undefined),
];

/** Front-ends that come and go. */
export const connectionCases: readonly DeviceCase[] = [
  {
    section: 'Communication',
    name: 'front-ends that come and go one after the other are all served',
    run: (subject) =>
      leavesNothing(subject, async () => {
        for (let i = 0; i < 20; i++) await serves(subject);
      }),
  },
  {
    section: 'Communication',
    name: 'a front-end that goes with requests in flight leaves nothing behind',
    run: (subject) =>
      leavesNothing(subject, async () => {
        for (let i = 0; i < 10; i++) {
          await using bench = await connect(subject);
          addProbes(bench, subject, 8);
          bench.queue(subject.probe.queue).publish();
        }
      }),
  },
  {
    section: 'Communication',
    name: 'a front-end that goes after any message leaves nothing behind',
    run: (subject) =>
      leavesNothing(subject, async () => {
        for (let count = 0; count <= STEPS.length; count++) {
          const guest = new Guest();
          const ring = new GuestRing(guest);
          const frontEnd = new FrontEnd(subject.socketPath);
          try {
            for (const step of STEPS.slice(0, count)) step(frontEnd, guest, ring);
          } catch {
            // The back-end was faster to end it.
          }
          frontEnd.close();
          ring.close();
          guest.close();
          await serves(subject);
        }
      }),
  },
  {
    section: 'Communication',
    name: 'a second front-end disturbs the first one not, and is served after it at the latest',
    run: (subject) =>
      leavesNothing(subject, async () => {
        await using first = await connect(subject);
        await probe(first, subject);
        const second = arrive(subject.socketPath);
        const answered = second?.ask('VHOST_USER_GET_FEATURES', undefined).then(
          () => true,
          () => false,
        );
        await probe(first, subject);
        const offered = await first.frontend.ask('VHOST_USER_GET_FEATURES', undefined);
        await first.close();
        // Who is not served at once waits, or is sent away and comes again.
        if (second !== undefined && (await answered) === true) {
          equal(await second.ask('VHOST_USER_GET_FEATURES', undefined), offered);
        }
        second?.close();
        await serves(subject);
      }),
  },
];
