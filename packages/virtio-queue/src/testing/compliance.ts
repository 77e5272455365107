import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import {
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_WRITE,
} from '@node-vmm/virtio-bindings';
import { guestAddress } from '@node-vmm/vm-memory';
import type { ComplianceCase } from '@node-vmm/vmm-sys-util/testing';
import type { DescriptorChain } from '../descriptor-chain.ts';
import { VirtioQueueError, type VirtioQueueErrorCode } from '../errors.ts';
import { freshPosition, isPosition, isWaiting, observeRing, resumePosition } from '../rings.ts';
import {
  at,
  BORDER,
  chainsOf,
  DATA,
  END,
  readable,
  VirtqueueBench,
  writable,
} from './virtqueue-bench.ts';
import type { HostileDescriptor, VirtqueueSubject } from './virtqueue-subject.ts';

/** One rule of `Virtqueue`, as a function that throws when a layout breaks it. */
export interface VirtqueueComplianceCase extends ComplianceCase<VirtqueueSubject> {
  run(subject: VirtqueueSubject): void;
}

const EVENT = [VIRTIO_RING_F_EVENT_IDX];
const INDIRECT = [VIRTIO_RING_F_INDIRECT_DESC];
const FEATURES: readonly (readonly number[])[] = [[], EVENT];

const refuses = (code: VirtioQueueErrorCode, action: () => unknown): void =>
  throws(action, (error) => {
    ok(VirtioQueueError.is(error), `expected a VirtioQueueError, got ${String(error)}`);
    equal(error.code, code, error.message);
    return true;
  });

const data = BigInt(DATA);
const WRITE = VIRTQ_DESC_F_WRITE;

/** Chains that break a rule in either layout. */
const MALFORMED: readonly (readonly HostileDescriptor[])[] = [
  [
    { addr: data, len: 4, flags: WRITE },
    { addr: data, len: 4, flags: 0 },
  ],
  [{ addr: BigInt(END) - 1n, len: 2, flags: 0 }],
  [{ addr: BigInt(END), len: 1, flags: WRITE }],
  [{ addr: 2n ** 64n - 1n, len: 0xffff_ffff, flags: 0 }],
  [
    { addr: data, len: 4, flags: 0 },
    { addr: BigInt(END), len: 1, flags: WRITE },
  ],
  // Not negotiated where these are offered, or no table.
  [{ addr: data, len: 15, flags: VIRTQ_DESC_F_INDIRECT }],
  [{ addr: BigInt(END), len: 16, flags: VIRTQ_DESC_F_INDIRECT }],
];

/** The suite, as data: run each case with any test runner, for each layout. */
export const virtqueueComplianceCases: readonly VirtqueueComplianceCase[] = [
  {
    section: 'popBatch',
    name: 'takes chains in the order in which they were made available, not more than asked for',
    run(subject) {
      const { driver, queue } = new VirtqueueBench(subject, []);
      const heads = Array.from({ length: 8 }, (_, i) => driver.add([writable(i, 1)]));
      equal(driver.add([writable(0, 1)]), -1);
      equal(queue.popBatch().length, 0);
      driver.publish();
      equal(queue.popBatch(0).length, 0);
      const taken: number[] = [];
      for (const [max, length] of [
        [1, 1],
        [3, 3],
        [100, 4],
        [100, 0],
      ] as const) {
        const chains = chainsOf(queue.popBatch(max));
        equal(chains.length, length);
        for (const chain of chains) {
          taken.push(chain.head);
          queue.complete(chain, 1);
        }
      }
      deepEqual(taken, heads);
    },
  },
  {
    section: 'popBatch',
    name: 'goes round the ring many times, from every start',
    run(subject) {
      for (const start of subject.starts) {
        const bench = new VirtqueueBench(subject, EVENT, start);
        for (let i = 0; i < 50; i++) {
          const heads = Array.from({ length: 1 + (i % 8) }, () => bench.request());
          const chains = chainsOf(bench.queue.popBatch());
          for (const chain of chains) bench.queue.complete(chain, 1);
          bench.queue.flush();
          deepEqual(
            bench.returned(),
            heads.map((head) => [head, 1]),
          );
        }
        equal(bench.queue.broken, undefined);
      }
    },
  },
  {
    section: 'popBatch',
    name: 'is refused while chains of the last batch are owed',
    run(subject) {
      const bench = new VirtqueueBench(subject, []);
      bench.request();
      bench.request();
      const batch = bench.queue.popBatch();
      bench.queue.complete(batch.at(0), 0);
      throws(() => bench.queue.popBatch(), TypeError);
      throws(() => bench.queue.complete(batch.at(0), 0), TypeError);
      equal(bench.queue.completeRest(), 1);
      equal(bench.queue.popBatch().length, 0);
    },
  },
  {
    section: 'chains',
    name: 'are the same bytes however they are cut, in descriptors or an indirect table',
    run(subject) {
      const bench = new VirtqueueBench(subject, INDIRECT);
      const border = BORDER - DATA;
      const bytes = Uint8Array.from({ length: 8 }, (_, i) => i + 1);
      bench.memory.write(at(border - 4), bytes);
      const cut = [
        readable(border - 4, 1),
        readable(border - 3, 7),
        writable(0, 2),
        writable(2, 6),
      ];
      for (const table of [undefined, at(0x100)]) {
        bench.memory.write(at(0), new Uint8Array(8));
        const head = bench.driver.add(cut, table);
        bench.driver.publish();
        const chain = bench.queue.popBatch().at(0);
        deepEqual([chain.readableLength, chain.writableLength], [8, 8]);
        const copy = new Uint8Array(9);
        equal(chain.read(copy, 0), 8);
        deepEqual(copy.subarray(0, 8), bytes);
        equal(chain.write(bytes, 1), 7);
        bench.queue.complete(chain, 9);
        bench.queue.flush();
        deepEqual(bench.returned(), [[head, 8]]);
        bench.memory.read(at(0), copy);
        deepEqual([...copy], [0, 1, 2, 3, 4, 5, 6, 7, 0]);
      }
      equal(bench.memory.segmentsOut, 0);
    },
  },
  {
    section: 'chains',
    name: 'that break a rule are returned unseen and counted, and the queue goes on',
    run(subject) {
      for (const chain of MALFORMED) {
        const bench = new VirtqueueBench(subject, []);
        bench.driver.offer(chain);
        equal(bench.queue.popBatch().length, 0);
        equal(bench.queue.counters.malformedChains, 1);
        equal(bench.queue.broken, undefined);
        equal(bench.memory.segmentsOut, 0);
        // Returned with what was offered before it was looked at: a flush is due, and asked for.
        equal(bench.queue.flush(), true);
        equal(bench.queue.flush(), false);
      }
    },
  },
  {
    section: 'chains',
    name: 'may be completed in any order, later too',
    run(subject) {
      for (const start of subject.starts) {
        const bench = new VirtqueueBench(subject, [], start);
        const heads = [bench.request(), bench.request(), bench.request()];
        const kept = chainsOf(bench.queue.popBatch()).map((chain) => chain.detach());
        equal(bench.queue.inflight, 3);
        const last = bench.request();
        bench.queue.complete(bench.queue.popBatch().at(0), 1);
        for (const i of [1, 0, 2]) {
          const chain = kept[i];
          ok(chain !== undefined);
          equal(chain.write(Uint8Array.of(7), 0), 1);
          bench.queue.complete(chain, 1);
          throws(() => bench.queue.complete(chain, 1), TypeError);
        }
        equal(bench.queue.inflight, 0);
        deepEqual(bench.returned(), []);
        bench.queue.flush();
        const order = [last, heads[1], heads[0], heads[2]];
        deepEqual(
          bench.returned(),
          order.map((head) => [head, 1]),
        );
        equal(bench.memory.segmentsOut, 0);
      }
    },
  },
  {
    section: 'notifications',
    name: 'are sent to a driver that wants them, and to no other',
    run(subject) {
      for (const features of FEATURES) {
        const bench = new VirtqueueBench(subject, features);
        const { driver, queue } = bench;
        const serve = (): boolean => {
          for (const chain of chainsOf(queue.popBatch())) queue.complete(chain, 1);
          return queue.flush();
        };
        equal(serve(), false);
        bench.request();
        equal(serve(), true);
        equal(bench.returned().length, 1);
        driver.disableInterrupts();
        bench.request();
        equal(serve(), false);
        equal(driver.enableInterrupts(), true);
        equal(bench.returned().length, 1);
        bench.request();
        equal(serve(), true);
        const { notifications, suppressedNotifications } = queue.counters;
        deepEqual([notifications, suppressedNotifications], [2, 1]);
      }
    },
  },
  {
    section: 'notifications',
    name: 'of the driver are asked for, and none is lost in between',
    run(subject) {
      for (const features of FEATURES) {
        const { driver, queue } = new VirtqueueBench(subject, features);
        const publish = (): boolean => {
          driver.add([writable(0, 1)]);
          return driver.publish();
        };
        equal(publish(), true);
        queue.disableNotification();
        equal(publish(), false);
        equal(queue.enableNotification(), true);
        equal(queue.popBatch().length, 2);
        queue.completeRest();
        equal(queue.enableNotification(), false);
        equal(publish(), true);
      }
    },
  },
  {
    section: 'broken',
    name: 'says that the ring cannot be, and nothing is served any more',
    run(subject) {
      for (const start of subject.starts) {
        const { driver, queue, memory } = new VirtqueueBench(subject, [], start);
        queue.flush();
        driver.overrun();
        equal(queue.popBatch().length, 0);
        ok(queue.broken !== undefined);
        equal(queue.enableNotification(), false);
        equal(queue.flush(), false);
        equal(queue.popBatch().length, 0);
        queue[Symbol.dispose]();
        driver[Symbol.dispose]();
        equal(memory.slicesOut, 0);
      }
    },
  },
  {
    section: 'position',
    name: 'is where another queue goes on, which announces the first thing that it does',
    run(subject) {
      for (const start of subject.starts) {
        const bench = new VirtqueueBench(subject, EVENT, start);
        for (let i = 0; i < 8; i++) bench.request();
        for (const chain of chainsOf(bench.queue.popBatch(5))) bench.queue.complete(chain, 1);
        const { position } = bench.queue;
        ok(isPosition(bench.config.features, position));
        bench.queue[Symbol.dispose]();
        bench.queue[Symbol.dispose]();
        // Published by the disposal.
        equal(bench.returned().length, 5);
        ok(isWaiting(bench.memory, bench.config, position));
        bench.driver.disableInterrupts();
        bench.driver.enableInterrupts(3);
        const next = bench.successor(position);
        const chains = chainsOf(next.popBatch());
        equal(chains.length, 3);
        for (const chain of chains) {
          next.complete(chain, 1);
          equal(next.flush(), chain === chains[0] || chain === chains[2]);
        }
        equal(bench.returned().length, 3);
        ok(isWaiting(bench.memory, bench.config, next.position));
      }
    },
  },
  {
    section: 'position',
    name: 'is an unsigned number of 32 bits, and not every one is possible',
    run(subject) {
      const bench = new VirtqueueBench(subject, []);
      const fresh = freshPosition(bench.config.features);
      equal(bench.queue.position, fresh);
      ok(isPosition(bench.config.features, fresh));
      for (const position of [...subject.impossible, -1, 0.5, 2 ** 32, Number.NaN]) {
        equal(isPosition(bench.config.features, position), false);
        refuses('BAD_STATE', () => bench.successor(position));
      }
    },
  },
  {
    section: 'position',
    name: 'after a device that died: what was taken and not returned is served again',
    run(subject) {
      for (const start of subject.starts) {
        const bench = new VirtqueueBench(subject, [], start);
        const observer = observeRing(bench.memory, bench.config);
        const heads = [bench.request(), bench.request(), bench.request()];
        bench.queue.complete(bench.queue.popBatch(1).at(0), 1);
        bench.queue.flush();
        bench.queue.popBatch();
        const position = resumePosition(bench.memory, bench.config);
        ok(position !== undefined);
        equal(observer.resume(), position);
        equal(observer.progress(), 'none');
        ok(isWaiting(bench.memory, bench.config, position));
        const next = bench.successor(position);
        for (const chain of chainsOf(next.popBatch())) next.complete(chain, 1);
        next.flush();
        equal(observer.progress(), 'possible');
        deepEqual(
          bench.returned(),
          heads.map((head) => [head, 1]),
        );
        bench.driver.overrun();
        equal(resumePosition(bench.memory, bench.config), undefined);
        equal(observer.resume(), undefined);
      }
    },
  },
  {
    section: 'relocate',
    name: 'goes on in other memory, and counts what is held where it was lent',
    run(subject) {
      for (const start of subject.starts) {
        const bench = new VirtqueueBench(subject, [], start);
        const { queue, config } = bench;
        const [second, third] = [bench.otherMemory(), bench.otherMemory()];
        const released: string[] = [];
        // One of them has no piece anywhere: an empty buffer.
        const hold = (): DescriptorChain[] => {
          bench.driver.add([writable(0, 1)]);
          bench.driver.add([writable(0, 0)]);
          bench.driver.publish();
          return chainsOf(queue.popBatch()).map((chain) => chain.detach());
        };
        const early = hold();
        bench.request();
        queue.popBatch();
        throws(() => queue.relocate(second, config), TypeError);
        queue.completeRest();
        const nowhere = { ...config, descTable: guestAddress(END) };
        refuses('RING_NOT_IN_MEMORY', () => queue.relocate(second, nowhere));
        equal(queue.memory, bench.memory);

        equal(
          queue.relocate(second, config, () => released.push('first')),
          2,
        );
        equal(queue.memory, second);
        equal(bench.returned().length, 1);
        const late = hold();
        equal(
          queue.relocate(third, config, () => released.push('second')),
          2,
        );
        equal(
          queue.relocate(second, config, () => released.push('third')),
          0,
        );
        deepEqual([bench.memory.segmentsOut, second.segmentsOut, queue.inflight], [1, 1, 4]);
        // A copy of a copy is held where the first was.
        const copies = early.map((chain) => chain.detach());
        for (const chain of late) queue.complete(chain, 0);
        deepEqual(released, ['second']);
        for (const chain of copies) {
          deepEqual(released, ['second']);
          queue.complete(chain, 0);
        }
        deepEqual(released, ['second', 'first']);
        deepEqual([bench.memory.segmentsOut, second.segmentsOut, queue.inflight], [0, 0, 0]);
        queue.flush();
        equal(bench.returned().length, 4);
        queue[Symbol.dispose]();
        deepEqual([second.slicesOut, third.slicesOut], [0, 0]);
      }
    },
  },
  {
    section: 'parked',
    name: 'leaves a chain in the ring whose memory is not there yet, and those behind it',
    run(subject) {
      const window = at(0x1000);
      for (const [buffers, table] of [
        [[readable(0, 4), writable(0x1008, 8)], undefined],
        [[readable(0, 4), writable(0x1008, 8)], at(0x100)],
        [[readable(0, 4), writable(8, 8)], window],
      ] as const) {
        const bench = new VirtqueueBench(subject, [...EVENT, ...INDIRECT]);
        const { queue, late } = bench;
        let calls = 0;
        queue.onReady = () => {
          calls++;
        };
        const heads = [bench.request(), bench.driver.add(buffers, table), bench.request()];
        late.delay(window, 0x100);
        const served: number[] = [];
        const serve = (): void => {
          for (const chain of chainsOf(queue.popBatch())) {
            served.push(chain.head);
            queue.complete(chain, 1);
          }
          queue.flush();
        };
        for (let i = 0; i < 3; i++) {
          serve();
          equal(queue.parked, true);
          equal(queue.enableNotification(), false);
          deepEqual(served, heads.slice(0, 1));
          deepEqual([late.waiting, bench.memory.segmentsOut], [1, 0]);
        }
        equal(calls, 0);
        late.arrive();
        deepEqual([calls, queue.parked, queue.enableNotification()], [1, false, true]);
        serve();
        deepEqual(served, heads);
        equal(queue.counters.malformedChains, 0);
        equal(bench.memory.segmentsOut, 0);
      }
    },
  },
  {
    section: 'parked',
    name: 'ends with a move to other memory, and nobody is called who moved or stopped',
    run(subject) {
      for (const moves of [true, false]) {
        const bench = new VirtqueueBench(subject, []);
        const { queue, late } = bench;
        queue.onReady = () => {
          throw new Error('called');
        };
        const head = bench.request();
        late.delay(at(0), 1);
        equal(queue.popBatch().length, 0);
        const { position } = queue;
        if (moves) queue.relocate(bench.otherMemory(), bench.config);
        else queue[Symbol.dispose]();
        late.arrive();
        const next = moves ? queue : bench.successor(position);
        equal(next.parked, false);
        next.complete(next.popBatch().at(0), 1);
        next.flush();
        deepEqual(bench.returned(), [[head, 1]]);
      }
    },
  },
  {
    section: 'parked',
    name: 'a ring that is not there yet itself is no error of the driver',
    run(subject) {
      const bench = new VirtqueueBench(subject, []);
      const { position } = bench.queue;
      const { slicesOut } = bench.memory;
      bench.late.delay(bench.config.usedRing, 1);
      refuses('RING_NOT_READY', () => bench.successor(position));
      refuses('RING_NOT_READY', () => bench.queue.relocate(bench.memory, bench.config));
      equal(bench.memory.slicesOut, slicesOut);
      bench.late.arrive();
      bench.successor(position)[Symbol.dispose]();
    },
  },
  {
    section: 'disposal',
    name: 'leaves the ring alone; what the device still holds goes back to its memory alone',
    run(subject) {
      const bench = new VirtqueueBench(subject, []);
      bench.request();
      bench.request();
      const batch = bench.queue.popBatch();
      const kept = batch.at(0).detach();
      bench.queue[Symbol.dispose]();
      equal(bench.memory.segmentsOut, 1);
      bench.queue.complete(kept, 1);
      equal(bench.queue.inflight, 0);
      equal(bench.queue.flush(), false);
      equal(bench.queue.popBatch().length, 0);
      equal(bench.queue.enableNotification(), false);
      bench.queue.disableNotification();
      deepEqual(bench.returned(), []);
      bench.driver[Symbol.dispose]();
      deepEqual([bench.memory.segmentsOut, bench.memory.slicesOut], [0, 0]);
    },
  },
];
