import { VIRTIO_I2C_MSG_ERR, VIRTIO_I2C_MSG_OK } from '@node-vmm/virtio-bindings';
import { EventFd, EventLoop } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  GROUP_PATIENCE_MS,
  I2cDevice,
  type I2cDeviceRules,
  STOPPING_PATIENCE_MS,
} from '../../src/backend.ts';
import { I2cError } from '../../src/errors.ts';
import { I2C_MESSAGE_MAX, I2C_TRANSFER_MAX } from '../../src/i2c-host.ts';
import { batchOf, type FakeChain, FakeHost, FakeQueue, recordingLogger } from '../support/fakes.ts';
import {
  chainOf,
  header,
  type RequestShape,
  rawChain,
  statusOf,
  UNTOUCHED,
} from '../support/requests.ts';

const OK = VIRTIO_I2C_MSG_OK;
const ERR = VIRTIO_I2C_MSG_ERR;

let host: FakeHost;
let other: FakeHost;
let queue: FakeQueue;
let poller: EventLoop;
let stop: EventFd;
let logger: ReturnType<typeof recordingLogger>;
let device: I2cDevice;
let events: object[];

beforeEach(() => {
  host = new FakeHost('one');
  other = new FakeHost('two');
  queue = new FakeQueue();
  stop = EventFd.create();
  poller = new EventLoop(stop);
  logger = recordingLogger();
  events = [];
  device = make();
});

/** The device, which some tests make again with other rules. */
function make(rules?: I2cDeviceRules, anew?: readonly string[]): I2cDevice {
  const made = new I2cDevice(
    [
      { host, addresses: [0x50, 0x51, 0xa050] },
      { host: other, addresses: [0x20, 0xa100] },
    ],
    { logger, poller, emit: (event) => events.push(typeof event === 'function' ? event() : event) },
    rules,
    anew,
  );
  made.negotiated(made.features);
  return made;
}

function makeAgain(rules: I2cDeviceRules): void {
  device[Symbol.dispose]();
  device = make(rules);
}
afterEach(() => {
  device[Symbol.dispose]();
  poller.close();
  stop.close();
});

function submit(...chains: FakeChain[]): (number | undefined)[] {
  const batch = batchOf(chains);
  device.process(queue, batch);
  batch.end();
  return chains.map(statusOf);
}

function send(...shapes: RequestShape[]): (number | undefined)[] {
  return submit(...shapes.map(chainOf));
}

/** Blocks this thread, as a slow transfer does. */
function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/** For what must be done within the patience, in real time: a machine may stop for longer, once or twice. */
const WITHIN_PATIENCE = { retry: 5 };

/** Sleeps until the device's timer fires, or for certain longer than it would take. */
function patienceEnds(): void {
  poller.turn(GROUP_PATIENCE_MS * 2);
}

describe('single requests', () => {
  it('writes', () => {
    expect(send({ address: 0x50, write: [1, 2, 3] })).toEqual([OK]);
    expect(host.transfers).toEqual([[{ address: 0x50, read: false, data: [1, 2, 3] }]]);
    expect(queue.completions).toMatchObject([{ written: 1 }]);
  });

  it('reads', () => {
    const chain = chainOf({ address: 0x51, read: 3 });
    submit(chain);
    expect([...chain.writable]).toEqual([0xa0, 0xa1, 0xa2, OK]);
    expect(queue.completions).toMatchObject([{ written: 4 }]);
  });

  it('carries out zero-length requests of both directions', () => {
    expect(send({ address: 0x50 }, { address: 0x50, read: 0 })).toEqual([OK, OK]);
    expect(host.transfers).toEqual([
      [{ address: 0x50, read: false, data: [] }],
      [{ address: 0x50, read: true, data: [] }],
    ]);
  });

  it('reach chips with 10-bit addresses', () => {
    expect(send({ address: 0xa050, write: [1] }, { address: 0xa100, read: 1 })).toEqual([OK, OK]);
    expect(host.transfers).toEqual([[{ address: 0xa050, read: false, data: [1] }]]);
    expect(other.transfers).toEqual([[{ address: 0xa100, read: true, data: [] }]]);
  });

  it('never merges requests that the driver did not link', () => {
    send({ address: 0x50, write: [0] }, { address: 0x50, read: 1 }, { address: 0x20, read: 1 });
    expect(host.transfers.map((messages) => messages.length)).toEqual([1, 1]);
    expect(other.transfers).toHaveLength(1);
  });

  it('takes messages of the largest size and refuses larger ones without touching the bus', () => {
    const large = new Array<number>(I2C_MESSAGE_MAX).fill(7);
    expect(send({ address: 0x50, write: large }, { address: 0x50, read: I2C_MESSAGE_MAX })).toEqual(
      [OK, OK],
    );
    expect(
      send({ address: 0x50, write: [...large, 7] }, { address: 0x50, read: I2C_MESSAGE_MAX + 1 }),
    ).toEqual([ERR, ERR]);
    expect(host.transfers).toHaveLength(2);
    expect(device.counters.oversized).toBe(2);
    expect(queue.completions.map(({ written }) => written)).toEqual([1, I2C_MESSAGE_MAX + 1, 1, 0]);
  });

  it('answers a failed read with zeroes, so that the used length is true', () => {
    host.answer = () => 0;
    const chain = chainOf({ address: 0x50, read: 4 });
    submit(chain);
    expect([...chain.writable]).toEqual([0, 0, 0, 0, ERR]);
    expect(queue.completions).toMatchObject([{ written: 5 }]);
  });

  it('lets one request fail without harm to the next', () => {
    host.answer = ([message]) => (message?.data[0] === 1 ? 0 : 1);
    expect(send({ address: 0x50, write: [1] }, { address: 0x50, write: [2] })).toEqual([ERR, OK]);
  });

  it.each([
    ['an error of the bus', new I2cError('TIMEOUT', 'Cannot transfer')],
    ['a defect of the host', new TypeError('undefined is not a function')],
    ['a thrown string', 'boom'],
  ])('survives %s', (_, error) => {
    host.answer = () => {
      throw error;
    };
    expect(send({ address: 0x50, write: [1] })).toEqual([ERR]);
    expect(device.counters).toMatchObject({ transfers: 1, failedTransfers: 1, errors: 1 });
  });
});

describe('hostile requests', () => {
  it.each([
    ['no header', rawChain(new Uint8Array(0), 1)],
    ['a short header', rawChain(new Uint8Array(7), 1)],
    ['a read with data to write', rawChain(Uint8Array.from([...header(0xa0, 2), 1]), 2)],
    ['a write with room to read', rawChain(Uint8Array.from([...header(0xa0, 0), 1]), 2)],
    ['a reserved flag', rawChain(header(0xa0, 4), 1)],
    ['the highest reserved flag', rawChain(header(0xa0, 0x8000_0000), 1)],
    ['the direction in the address', rawChain(header(0xa1, 0), 1)],
  ])('%s is malformed and answered', (_, chain) => {
    expect(submit(chain)).toEqual([ERR]);
    expect(host.transfers).toEqual([]);
    expect(device.counters).toMatchObject({ malformed: 1, requests: 1, errors: 1 });
    expect(queue.completions).toMatchObject([{ written: chain.writable.length }]);
  });

  it.each([
    ['a write', rawChain(Uint8Array.from([...header(0xa0, 0), 1]), 0)],
    ['a read', rawChain(header(0xa0, 2), 0)],
    ['nothing at all', rawChain(new Uint8Array(0), 0)],
  ])('%s without room for the status is returned unanswered', (_, chain) => {
    submit(chain);
    expect(host.transfers).toEqual([]);
    expect(queue.completions).toMatchObject([{ written: 0 }]);
    expect(device.counters.malformed).toBe(1);
  });

  it.each([
    ['off the list', 0x51f0],
    ['whose low byte is a 7-bit address of the list', 0x00f0],
    ['with the highest bits', 0xfff6],
  ])('refuses 10-bit addresses %s, and takes none for one of 7 bits', (_, addr) => {
    expect(submit(rawChain(header(addr, 0), 1))).toEqual([ERR]);
    expect(device.counters).toMatchObject({ tenBit: 1, denied: 0, malformed: 0 });
    expect([...host.transfers, ...other.transfers]).toEqual([]);
    expect(logger.lines).toHaveLength(1);
  });

  it.each([0x50a0, 0xfffe, 0x01a0, 0x100])('takes addr 0x%s for none at all', (addr) => {
    expect(submit(rawChain(header(addr, 0), 1))).toEqual([ERR]);
    expect(device.counters).toMatchObject({ tenBit: 0, denied: 0, malformed: 1 });
  });

  it('logs the first of a kind and counts the rest', () => {
    for (let i = 0; i < 50; i++) submit(rawChain(new Uint8Array(3), 1));
    expect(logger.lines).toHaveLength(1);
    expect(device.counters.malformed).toBe(50);
    device.reset();
    submit(rawChain(new Uint8Array(3), 1));
    expect(logger.lines).toHaveLength(2);
  });

  it('writes nothing but the status into a huge buffer', () => {
    const chain = rawChain(header(0xa0, 2), 1 << 20);
    submit(chain);
    expect(chain.writable.subarray(0, -1).every((byte) => byte === UNTOUCHED)).toBe(true);
    expect(statusOf(chain)).toBe(ERR);
  });
});

describe('groups', () => {
  const pair: RequestShape[] = [
    { address: 0x50, write: [5], failNext: true },
    { address: 0x50, read: 2 },
  ];

  it('are one combined transfer', () => {
    expect(send(...pair)).toEqual([OK, OK]);
    expect(host.transfers).toEqual([
      [
        { address: 0x50, read: false, data: [5] },
        { address: 0x50, read: true, data: [] },
      ],
    ]);
  });

  it('end at the untagged request', () => {
    send(...pair, ...pair, { address: 0x50, read: 1 });
    expect(host.transfers.map((messages) => messages.length)).toEqual([2, 2, 1]);
  });

  it('fail from the request on that the bus did not acknowledge', () => {
    host.answer = () => 1;
    expect(
      send({ address: 0x50, write: [1], failNext: true }, ...pair, { address: 0x51, read: 1 }),
    ).toEqual([OK, ERR, ERR, OK]);
  });

  it('fail as a whole when the adapter does not say how far it got', () => {
    host.answer = () => {
      throw new I2cError('NO_DEVICE', 'Cannot transfer');
    };
    expect(send(...pair)).toEqual([ERR, ERR]);
  });

  it('check the allow-list for every request', () => {
    expect(send({ address: 0x50, write: [1], failNext: true }, { address: 0x52, read: 1 })).toEqual(
      [OK, ERR],
    );
    expect(host.transfers).toEqual([[{ address: 0x50, read: false, data: [1] }]]);
    expect(device.counters.denied).toBe(1);
    expect(
      send(
        { address: 0x52, write: [1], failNext: true },
        { address: 0x50, write: [1], failNext: true },
        { address: 0x50, write: [2] },
        { address: 0x50, write: [3] },
      ),
    ).toEqual([ERR, ERR, ERR, OK]);
    expect(host.transfers).toHaveLength(2);
    expect(device.counters).toMatchObject({ denied: 2, skipped: 2 });
  });

  it('fail from a malformed request on', () => {
    const chains = [
      chainOf({ address: 0x50, write: [1], failNext: true }),
      rawChain(header(0xa0, 1 | 8), 1),
      chainOf({ address: 0x50, write: [2], failNext: true }),
      chainOf({ address: 0x50, write: [3] }),
      chainOf({ address: 0x50, write: [4] }),
    ];
    expect(submit(...chains)).toEqual([OK, ERR, ERR, ERR, OK]);
    expect(host.transfers.map(([message]) => message?.data)).toEqual([[1], [4]]);
  });

  it('of 42 requests are one transfer, of more none', () => {
    const shapes = (count: number): RequestShape[] =>
      Array.from({ length: count }, (_, i) => ({
        ...{ address: 0x50, write: [i], failNext: i < count - 1 },
      }));
    expect(send(...shapes(42))).toEqual(new Array(42).fill(OK));
    // As I2C_RDWR, which does nothing then; however the requests come.
    expect(send(...shapes(43))).toEqual(new Array(43).fill(ERR));
    const parts = shapes(45).map(chainOf);
    submit(...parts.slice(0, 20));
    submit(...parts.slice(20, 42));
    submit(...parts.slice(42));
    expect(parts.map(statusOf)).toEqual(parts.map(() => ERR));
    expect(host.transfers.map((messages) => messages.length)).toEqual([42]);
    expect(device.counters).toMatchObject({ longGroups: 2, skipped: 43 + 45 });
    expect(send(...shapes(2))).toEqual([OK, OK]);
    expect(logger.lines).toEqual([expect.stringMatching(/more than 42 messages.*--split-groups/)]);
  });

  it('with a message that is too long are not executed at all', () => {
    const long = { address: 0x50, write: new Array<number>(I2C_MESSAGE_MAX + 1).fill(0) };
    const last = { address: 0x50, read: 1 };
    expect(
      send({ address: 0x50, write: [1], failNext: true }, { ...long, failNext: true }, last),
    ).toEqual([ERR, ERR, ERR]);
    expect(host.transfers).toEqual([]);
    expect(device.counters).toMatchObject({ oversized: 1, skipped: 3 });
    expect(send(last)).toEqual([OK]);
  });

  it('for chips on several adapters are not executed at all', () => {
    const shapes = [0x50, 0x20, 0x50].map((address, i) => ({
      ...{ address, write: [i], failNext: i < 2 },
    }));
    expect(send(...shapes)).toEqual([ERR, ERR, ERR]);
    expect([...host.transfers, ...other.transfers]).toEqual([]);
    expect(device.counters).toMatchObject({ mixedGroups: 1, skipped: 3 });
    expect(logger.lines).toEqual([expect.stringMatching(/several adapters.*--split-groups/)]);
    expect(send({ address: 0x50, read: 1 }, { address: 0x20, read: 1 })).toEqual([OK, OK]);
    expect([host.transfers.length, other.transfers.length]).toEqual([1, 1]);
  });

  it('are split over transfers when they are longer than one and may be', () => {
    makeAgain({ splitGroups: true });
    const shapes = Array.from({ length: I2C_TRANSFER_MAX * 2 + 1 }, (_, i) => ({
      address: 0x50,
      write: [i],
      failNext: i < I2C_TRANSFER_MAX * 2,
    }));
    expect(send(...shapes)).toEqual(shapes.map(() => OK));
    expect(host.transfers.map((messages) => messages.length)).toEqual([42, 42, 1]);
    // A failure in one part fails the parts after it.
    host.transfers.length = 0;
    host.answer = () => 41;
    expect(send(...shapes)).toEqual(shapes.map((_, i) => (i < 41 ? OK : ERR)));
    expect(host.transfers).toHaveLength(1);
  });

  it('are split over the buses that they address when they may be', () => {
    makeAgain({ splitGroups: true });
    const shapes = [0x50, 0x51, 0x20, 0x50].map((address, i) => ({
      address,
      write: [i],
      failNext: i < 3,
    }));
    expect(send(...shapes)).toEqual([OK, OK, OK, OK]);
    expect(host.transfers.map((messages) => messages.length)).toEqual([2, 1]);
    expect(other.transfers).toHaveLength(1);
    other.answer = () => 0;
    expect(send(...shapes)).toEqual([OK, OK, ERR, ERR]);
    expect(host.transfers).toHaveLength(3);
  });
});

describe('groups that come in parts', () => {
  it('are one transfer all the same', () => {
    const first = chainOf({ address: 0x50, write: [5], failNext: true });
    const second = chainOf({ address: 0x50, write: [6], failNext: true });
    const third = chainOf({ address: 0x50, read: 2 });
    submit(first);
    submit(second);
    expect(queue.completions).toEqual([]);
    expect(host.transfers).toEqual([]);
    submit(third);
    expect([first, second, third].map(statusOf)).toEqual([OK, OK, OK]);
    expect(host.transfers.map((messages) => messages.length)).toEqual([3]);
    expect(queue.completions.map(({ head }) => head)).toEqual(
      [first, second, third].map(({ head }) => head),
    );
  });

  it('are executed as far as they are there when the rest does not come', () => {
    const first = chainOf({ address: 0x50, write: [5], failNext: true });
    submit(first);
    patienceEnds();
    expect(statusOf(first)).toBe(OK);
    expect(queue.flushes).toBe(1);
    expect(device.counters.splitGroups).toBe(1);
    expect(send({ address: 0x50, read: 1 })).toEqual([OK]);
  });

  it('get no more time by growing', () => {
    const chains = [1, 2].map((byte) =>
      chainOf({ address: 0x50, write: [byte], failNext: true }),
    ) as [FakeChain, FakeChain];
    submit(chains[0]);
    sleep(GROUP_PATIENCE_MS * 1.2);
    submit(chains[1]);
    poller.turn(0);
    expect(chains.map(statusOf)).toEqual([OK, OK]);
  });

  // Linux sends four requests of a transfer of six into a queue of four, each linked to the next,
  // and drops the others.
  it.each([
    ['by the bus', 0x51],
    ['by the allow-list', 0x52],
  ])('whose end never comes and that failed %s harm no later transfer', (_, absent) => {
    host.answer = (messages) => {
      const at = messages.findIndex(({ address }) => address === absent);
      return at < 0 ? messages.length : at;
    };
    const chains = [0x50, 0x50, absent, 0x50].map((address, i) =>
      chainOf({ address, write: [i], failNext: true }),
    );
    submit(...chains);
    patienceEnds();
    expect(chains.map(statusOf)).toEqual([OK, OK, ERR, ERR]);
    expect(send({ address: 0x50, write: [9], failNext: true }, { address: 0x50, read: 1 })).toEqual(
      [OK, OK],
    );
    expect(host.transfers.map((messages) => messages.length)).toHaveLength(2);
    expect(device.counters).toMatchObject({ splitGroups: 1, errors: 2 });
  });

  it('go on failing within their time, however they come', () => {
    expect(send({ address: 0x52, write: [1], failNext: true })).toEqual([ERR]);
    expect(send({ address: 0x50, write: [2], failNext: true })).toEqual([ERR]);
    expect(send({ address: 0x50, write: [3] }, { address: 0x50, write: [4] })).toEqual([ERR, OK]);
    expect(host.transfers).toEqual([[{ address: 0x50, read: false, data: [4] }]]);
    expect(device.counters.splitGroups).toBe(0);
  });

  it('are timed each by itself', WITHIN_PATIENCE, () => {
    expect(send({ address: 0x52, write: [1], failNext: true })).toEqual([ERR]);
    sleep(GROUP_PATIENCE_MS * 1.2);
    // Its end and the start of the next, in one batch, in the moment in which its time is over.
    expect(
      send({ address: 0x50, write: [2] }, { address: 0x52, write: [3], failNext: true }),
    ).toEqual([ERR, ERR]);
    poller.turn(0);
    expect(send({ address: 0x50, write: [4] })).toEqual([ERR]);
    expect(device.counters.splitGroups).toBe(0);
  });

  it('do not pay for the time that their transfers take', WITHIN_PATIENCE, () => {
    makeAgain({ splitGroups: true });
    const shape = { address: 0x50, write: [1], failNext: true };
    host.answer = () => {
      sleep(GROUP_PATIENCE_MS * 1.2);
      return 0;
    };
    submit(chainOf(shape));
    const rest = Array.from({ length: I2C_TRANSFER_MAX - 1 }, () => chainOf(shape));
    expect(submit(...rest)).toEqual(rest.map(() => ERR));
    poller.turn(0);
    expect(send(shape)).toEqual([ERR]);
    patienceEnds();
    host.answer = () => 1;
    expect(send({ address: 0x50, read: 1 })).toEqual([OK]);
  });

  it('are executed as far as they came when the queue is about to stop', () => {
    const first = chainOf({ address: 0x50, write: [5], failNext: true });
    submit(first);
    device.queueStopping(queue, () => undefined);
    expect(statusOf(first)).toBe(OK);
    expect(queue.flushes).toBe(1);
    device.queueStopped();
    patienceEnds();
    expect(queue.flushes).toBe(1);
  });

  it('are forgotten when the queue has stopped', () => {
    submit(chainOf({ address: 0x50, write: [5], failNext: true }));
    device.queueStopped();
    patienceEnds();
    expect(queue.completions).toEqual([]);
    expect(queue.flushes).toBe(0);
    expect(send({ address: 0x50, read: 1 })).toEqual([OK]);
    expect(host.transfers).toHaveLength(1);
  });

  it('take their failure with them when the queue stops', () => {
    expect(send({ address: 0x7, write: [5], failNext: true })).toEqual([ERR]);
    device.queueStopping(queue, () => undefined);
    device.queueStopped();
    expect(send({ address: 0x50, read: 1 })).toEqual([OK]);
  });

  it('are forgotten by a reset, and so is their failure', () => {
    expect(send({ address: 0x7, write: [5], failNext: true })).toEqual([ERR]);
    device.reset();
    expect(send({ address: 0x50, read: 1 })).toEqual([OK]);
  });
});

describe('a slow bus', () => {
  const write = (byte: number, failNext = false) =>
    chainOf({ address: 0x50, write: [byte], failNext });
  const heads = (chains: readonly FakeChain[]) => chains.map(({ head }) => head);
  beforeEach(() => {
    host.slow = true;
  });

  it('makes one transfer at a time, and requests are completed in order', () => {
    const chains = [
      write(1),
      chainOf({ address: 0x20, write: [2] }),
      chainOf({ address: 0x52, write: [3] }),
      write(4),
    ];
    submit(...chains);
    expect(host.flying).toBe(1);
    // §5.16.6.4: in order, also what another bus or nobody answers.
    expect(queue.completions).toEqual([]);
    host.land();
    expect(heads(chains.slice(0, 3))).toEqual(queue.completions.map(({ head }) => head));
    expect(queue.flushes).toBe(1);
    expect(host.flying).toBe(1);
    host.land();
    expect(queue.completions.map(({ head }) => head)).toEqual(heads(chains));
    expect(chains.map(statusOf)).toEqual([OK, OK, ERR, OK]);
    expect(queue.flushes).toBe(2);
  });

  it('takes no part of the memory of what waits for it', () => {
    const chain = chainOf({ address: 0x50, write: [1, 2, 3] });
    submit(chain);
    chain.readable.fill(9);
    host.land();
    expect(host.transfers).toEqual([[{ address: 0x50, read: false, data: [1, 2, 3] }]]);
  });

  it('gets the groups that came meanwhile, each as one transfer', () => {
    submit(write(1));
    submit(write(2, true));
    submit(write(3), write(4, true));
    submit(write(5));
    for (let i = 0; i < 3; i++) host.land();
    expect(host.transfers.map((messages) => messages.map(({ data }) => data[0]))).toEqual([
      [1],
      [2, 3],
      [4, 5],
    ]);
  });

  it('does not count for the patience', WITHIN_PATIENCE, () => {
    submit(write(1));
    const open = write(2, true);
    submit(open);
    sleep(GROUP_PATIENCE_MS * 1.2);
    poller.turn(0);
    host.land();
    poller.turn(0);
    expect(device.counters.splitGroups).toBe(0);
    submit(write(3));
    host.land();
    expect(host.transfers).toHaveLength(2);
    submit(write(4, true));
    patienceEnds();
    expect(device.counters.splitGroups).toBe(1);
    host.land();
    expect(host.transfers).toHaveLength(3);
  });

  it('that fails, late, fails the rest of the group', () => {
    makeAgain({ splitGroups: true });
    host.answer = () => {
      throw new I2cError('TIMEOUT', 'Cannot transfer');
    };
    const chains = [...Array.from({ length: I2C_TRANSFER_MAX + 1 }, (_, i) => write(i, true))];
    submit(...chains, write(100));
    host.land();
    expect(chains.map(statusOf)).toEqual(chains.map(() => ERR));
    expect(host.transfers).toHaveLength(1);
    expect(device.counters).toMatchObject({ failedTransfers: 1, skipped: 2 });
  });

  it('is waited for by a reset, and its result is nobody’s', () => {
    const old = write(1);
    submit(old, write(2));
    device.reset();
    expect(send({ address: 0x50, write: [3] })).toEqual([UNTOUCHED]);
    expect(host.flying).toBe(1);
    host.land();
    expect(statusOf(old)).toBe(UNTOUCHED);
    expect(queue.completions).toEqual([]);
    host.land();
    expect(host.transfers.map(([message]) => message?.data)).toEqual([[1], [3]]);
    expect(queue.completions).toHaveLength(1);
  });

  it('survives being over twice', () => {
    host.slow = false;
    host.transfer = (_messages, done) => {
      done(1);
      done(0);
    };
    expect(send({ address: 0x50, write: [3] }, { address: 0x50, write: [4] })).toEqual([OK, OK]);
  });

  it('is waited for by a queue that stops', () => {
    let stopped = 0;
    const chains = [write(1), write(2), write(3, true)];
    submit(...chains);
    device.queueStopping(queue, () => stopped++);
    for (let i = 0; i < 3; i++) {
      expect(stopped).toBe(0);
      host.land();
    }
    expect(stopped).toBe(1);
    expect(chains.map(statusOf)).toEqual([OK, OK, OK]);
    expect(queue.flushes).toBe(1 + 3);
    poller.turn(STOPPING_PATIENCE_MS * 1.1);
    expect(stopped).toBe(1);
  });

  it('is not waited for by more than one transfer when its time is over', () => {
    let stopped = 0;
    const chains = [write(1), write(2), write(3, true)];
    submit(...chains);
    device.queueStopping(queue, () => stopped++);
    poller.turn(STOPPING_PATIENCE_MS * 10);
    expect(stopped).toBe(0);
    host.land();
    expect(stopped).toBe(1);
    expect(chains.map(statusOf)).toEqual([OK, ERR, ERR]);
    expect(host.transfers).toHaveLength(1);
  });

  it('of a guest that is gone does not hold up a queue that stops', () => {
    let stopped = 0;
    submit(write(1));
    device.reset();
    const next = write(2);
    submit(next);
    device.queueStopping(queue, () => stopped++);
    poller.turn(STOPPING_PATIENCE_MS * 10);
    expect(stopped).toBe(1);
    expect(statusOf(next)).toBe(ERR);
  });

  it('is not waited for when nothing is under way', () => {
    let stopped = 0;
    device.queueStopping(queue, () => stopped++);
    expect(stopped).toBe(1);
  });
});

describe('who watches', () => {
  it('sees each transfer, with as much of its data as is bounded', () => {
    send(
      { address: 0x50, write: [1, 0xff], failNext: true },
      { address: 0x50, read: 2 },
      { address: 0xa100, write: new Array<number>(8192).fill(0x5a) },
    );
    expect(events).toEqual([
      {
        event: 'transfer',
        succeeded: 2,
        messages: [
          { address: '0x50', read: false, length: 2, data: '01ff' },
          { address: '0x50', read: true, length: 2, data: 'a0a1' },
        ],
      },
      {
        event: 'transfer',
        succeeded: 1,
        messages: [{ address: '0xa100', read: false, length: 8192, data: '5a'.repeat(32) }],
      },
    ]);
    const whole = Array.from({ length: I2C_TRANSFER_MAX }, (_, i) => ({
      ...{ address: 0xa050, write: new Array<number>(40).fill(i), failNext: i < 41 },
    }));
    send(...whole);
    expect(JSON.stringify(events[2]).length).toBeLessThan(8192);
  });

  it('sees what was not acknowledged, what failed, and nothing of reads that did not happen', () => {
    host.answer = () => 0;
    send({ address: 0x50, read: 2 });
    host.answer = () => {
      throw new I2cError('TIMEOUT', 'Cannot transfer');
    };
    send({ address: 0x50, write: [1] });
    expect(events).toEqual([
      {
        event: 'transfer',
        succeeded: 0,
        messages: [{ address: '0x50', read: true, length: 2, data: '' }],
      },
      {
        event: 'transfer',
        succeeded: 0,
        messages: [{ address: '0x50', read: false, length: 1, data: '01' }],
        error: 'TIMEOUT',
      },
    ]);
  });
});

describe('life of the device', () => {
  it('§5.16.6.4 MUST reject a driver without VIRTIO_I2C_F_ZERO_LENGTH_REQUEST', () => {
    device.negotiated(1n << 32n);
    expect(logger.lines).toEqual([expect.stringMatching(/will fail; --allow-no-zero-length/)]);
    expect(send({ address: 0x50, read: 2 }, { address: 0x50, write: [1] })).toEqual([ERR, ERR]);
    expect(host.transfers).toEqual([]);
    device.reset();
    device.negotiated((1n << 32n) | device.features);
    expect(send({ address: 0x50, read: 2 })).toEqual([OK]);
  });

  it('serves such a driver where that is allowed, and says so', () => {
    makeAgain({ allowNoZeroLength: true });
    expect(logger.lines).toEqual([]);
    device.negotiated(1n << 32n);
    expect(logger.lines).toEqual([expect.stringContaining('is served (--allow-no-zero-length)')]);
    expect(send({ address: 0x50, read: 2 }, { address: 0x50, write: [1] })).toEqual([OK, OK]);
  });

  it('says which chips begin anew where its driver goes on, once', () => {
    for (const resumed of [false, true]) {
      device[Symbol.dispose]();
      device = make(undefined, ['24c02@0x50', 'ds1338@0x51']);
      queue.resumed = resumed;
      send({ address: 0x50, read: 1 });
      queue.resumed = true;
      send({ address: 0x50, read: 1 });
    }
    expect(logger.lines).toEqual([expect.stringMatching(/begin anew.* is lost/)]);
    device[Symbol.dispose]();
    device = make();
    send({ address: 0x50, read: 1 });
    expect(logger.lines).toHaveLength(1);
  });

  it('closes its hosts and its timer once', () => {
    device[Symbol.dispose]();
    device[Symbol.dispose]();
    expect([host.disposed, other.disposed]).toEqual([true, true]);
  });

  it('refuses to be made with an address on two buses', () => {
    expect(
      () =>
        new I2cDevice(
          [
            { host, addresses: [1] },
            { host: other, addresses: [1] },
          ],
          { logger, poller, emit: () => undefined },
        ),
    ).toThrow(RangeError);
  });
});
