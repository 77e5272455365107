import { deepEqual, equal, ok } from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasProtocolFeature } from '@node-vmm/vhost-user';
import type { BenchQueue } from '../bench-queue.ts';
import type { DeviceBench } from '../device-bench.ts';
import { connect, type DeviceCase, type DeviceProfile, leavesNothing, probe } from './subject.ts';

/** By how much later a ring is stopped each time, milliseconds. */
const ROUND_DELAY_MS = 5;

const MAX_QUEUE_SIZE = 32_768;

/** Puts as many of the subject's requests into its queue as `count` says; not published. */
export function addProbes(
  bench: DeviceBench,
  { probe: { queue, readable, writable } }: DeviceProfile,
  count: number,
): Promise<Uint8Array[]>[] {
  return Array.from({ length: count }, () => bench.queue(queue).add(readable, writable));
}

function probeQueue(bench: DeviceBench, { probe: { queue } }: DeviceProfile): BenchQueue {
  return bench.queue(queue);
}

/** Requests of the subject that a ring has room for, at most 32. */
function room({ probe: { readable, writable } }: DeviceProfile, size: number): number {
  return Math.min(32, Math.floor(size / (readable.length + writable.length)));
}

/** What of a ring is the device's to write. The driver goes on reading it, and says how far in its own. */
function contents(bench: DeviceBench, queue: BenchQueue): Uint8Array {
  const { layout } = queue.ring;
  const bytes = new Uint8Array(8 * layout.size + 6);
  bench.memory.read(layout.usedRing, bytes);
  return bytes;
}

/** How rings start, are served, and stop. */
export const ringCases: readonly DeviceCase[] = [
  {
    section: 'VIRTIO 1.3 §2.7',
    name: `rings of every size up to ${MAX_QUEUE_SIZE} are served`,
    async run(subject) {
      const { readable, writable } = subject.probe;
      await using bench = await connect(subject);
      const queue = probeQueue(bench, subject);
      for (let size = 2; size <= MAX_QUEUE_SIZE; size *= 2) {
        if (size < readable.length + writable.length) continue;
        await queue.restart(size);
        // Twice around the small ones, so that descriptors are used again.
        for (let i = 0; i < 5; i++) await probe(bench, subject);
      }
    },
  },
  {
    section: 'VIRTIO 1.3 §2.7.6',
    name: 'indices of a ring go on after 65535 with 0',
    async run(subject) {
      await using bench = await connect(subject);
      const queue = probeQueue(bench, subject);
      await queue.restart(queue.size, 65_530);
      for (let i = 0; i < 12; i++) await probe(bench, subject);
      equal(await queue.stop(), 6);
    },
  },
  {
    section: 'VIRTIO 1.3 §2.7.14',
    name: 'many requests made available at once are all answered',
    async run(subject) {
      await using bench = await connect(subject);
      const queue = probeQueue(bench, subject);
      for (let round = 0; round < 5; round++) {
        const answers = addProbes(bench, subject, room(subject, queue.size));
        queue.publish();
        for (const answer of await Promise.all(answers)) subject.probe.check?.(answer);
      }
    },
  },
  {
    section: 'Ring states',
    name: 'a request of a ring that is disabled is answered when it is enabled',
    async run(subject) {
      await using bench = await connect(subject);
      const queue = probeQueue(bench, subject);
      await queue.ring.enable(bench.frontend, false);
      const [answer] = addProbes(bench, subject, 1);
      queue.publish();
      await bench.frontend.ask('VHOST_USER_GET_FEATURES', undefined);
      await queue.ring.enable(bench.frontend);
      await answer;
    },
  },
  {
    section: 'Ring states',
    name: 'a request that was made available before its ring started is served',
    async run(subject) {
      await using bench = await connect(subject);
      const queue = probeQueue(bench, subject);
      const base = await queue.stop();
      const [answer] = addProbes(bench, subject, 1);
      queue.publish();
      await queue.start(base);
      await answer;
    },
  },
  {
    section: 'Ring states',
    name: 'GET_VRING_BASE stops a ring with requests in flight, and it goes on where it was',
    run: (subject) =>
      leavesNothing(subject, async () => {
        for (let round = 0; round < 10; round++) {
          await using bench = await connect(subject);
          const queue = probeQueue(bench, subject);
          const count = room(subject, queue.size);
          const answers = addProbes(bench, subject, count);
          queue.publish();
          // At another moment each time: before the requests are taken, and after.
          await sleep(round * ROUND_DELAY_MS);
          const base = await queue.stop();
          ok(base <= count, `base ${base} after ${count} requests`);
          const left = contents(bench, queue);
          await bench.frontend.ask('VHOST_USER_GET_FEATURES', undefined);
          deepEqual(contents(bench, queue), left, 'the ring is written to after it was stopped');
          equal(queue.ring.driver.raw.usedIndex, base, 'requests were taken and not returned');
          await queue.start(base);
          queue.ring.kick.signal();
          await Promise.all(answers);
        }
      }),
  },
  {
    section: 'VHOST_USER_GET_VRING_BASE',
    name: 'a ring that was never kicked stops as well, and again',
    async run(subject) {
      await using bench = await connect(subject);
      for (const queue of bench.queues) {
        equal(await queue.stop(), 0);
        equal(await queue.stop(), 0);
      }
    },
  },
  {
    section: 'VIRTIO 1.3 §2.4.1',
    name: 'a device that is reset starts again',
    run: (subject) =>
      leavesNothing(subject, async () => {
        await using bench = await connect(subject);
        const { frontend, protocolFeatures } = bench;
        const queue = probeQueue(bench, subject);
        const resets: (() => Promise<number>)[] = [];
        if (hasProtocolFeature(protocolFeatures, 'VHOST_USER_PROTOCOL_F_RESET_DEVICE')) {
          resets.push(() => frontend.tell('VHOST_USER_RESET_DEVICE', undefined));
        }
        if (hasProtocolFeature(protocolFeatures, 'VHOST_USER_PROTOCOL_F_STATUS')) {
          resets.push(() => frontend.tell('VHOST_USER_SET_STATUS', 0n));
        }
        for (const reset of resets) {
          await probe(bench, subject);
          addProbes(bench, subject, room(subject, queue.size));
          queue.publish();
          equal(await reset(), 0);
          frontend.send('VHOST_USER_SET_FEATURES', bench.features);
          for (const each of bench.queues) await each.restart();
          await probe(bench, subject);
        }
      }),
  },
  {
    section: 'VHOST_USER_GET_STATUS',
    name: 'the status is what the front-end set',
    async run(subject) {
      await using bench = await connect(subject);
      const { frontend, protocolFeatures } = bench;
      if (!hasProtocolFeature(protocolFeatures, 'VHOST_USER_PROTOCOL_F_STATUS')) return;
      for (const status of [0x1n, 0x3n, 0xbn, 0xfn]) {
        equal(await frontend.tell('VHOST_USER_SET_STATUS', status), 0);
        equal(await frontend.ask('VHOST_USER_GET_STATUS', undefined), status);
      }
    },
  },
];
