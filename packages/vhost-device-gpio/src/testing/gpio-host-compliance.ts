import assert from 'node:assert/strict';
import type { ComplianceCase } from '@node-vmm/vmm-sys-util/testing';
import type { GpioError } from '../errors.ts';
import {
  GPIO_EDGE_FALLING,
  GPIO_EDGE_RISING,
  type GpioDirection,
  type GpioEdges,
  type GpioHost,
  type GpioLevel,
} from '../gpio-host.ts';

/** What a case works on: a host of four lines at least, all of them free, inputs, and low. */
export interface GpioHostSubject {
  /** Nobody has listened yet. The case disposes of it, or who gave it. */
  readonly host: GpioHost;
  /** Puts a level on an input, from outside. */
  pull(line: number, level: GpioLevel): void;
  /** The level that is on a line, as it is seen from outside. */
  level(line: number): GpioLevel;
  /** Lets the host's poller and thread do what is under way. */
  turn(): Promise<void>;
}

/** One rule for hosts. */
export type GpioHostCase = ComplianceCase<GpioHostSubject>;

const NONE = 0;
const OUT = 1;
const IN = 2;
const BOTH = 3;
const LIMIT_MS = 20_000;

/** A subject whose operations can be waited for, and whose edges are kept. */
class Probe {
  readonly edges: string[] = [];
  readonly subject: GpioHostSubject;

  constructor(subject: GpioHostSubject) {
    this.subject = subject;
    subject.host.listen((line, rising) => this.edges.push(`${line}${rising ? '+' : '-'}`));
  }

  async until(what: string, condition: () => boolean): Promise<void> {
    const end = performance.now() + LIMIT_MS;
    while (!condition()) {
      assert.ok(performance.now() < end, `not in ${LIMIT_MS} ms: ${what}; edges: ${this.edges}`);
      await this.subject.turn();
    }
  }

  async #over<T>(
    what: string,
    begin: (done: (error?: GpioError, answer?: T) => void) => void,
  ): Promise<[GpioError | undefined, T | undefined]> {
    let over: [GpioError | undefined, T | undefined] | undefined;
    begin((error, answer) => {
      assert.equal(over, undefined, `${what} is over twice`);
      over = [error, answer];
    });
    await this.until(what, () => over !== undefined);
    assert.ok(over);
    return over;
  }

  async direction(line: number): Promise<GpioDirection | undefined> {
    const { host } = this.subject;
    const [error, answer] = await this.#over<GpioDirection>('getDirection', (done) =>
      host.getDirection(line, done),
    );
    assert.ifError(error);
    return answer;
  }

  async value(line: number): Promise<GpioLevel | undefined> {
    const { host } = this.subject;
    const [error, answer] = await this.#over<GpioLevel>('getValue', (done) =>
      host.getValue(line, done),
    );
    assert.ifError(error);
    return answer;
  }

  async take(line: number, direction: GpioDirection, value: GpioLevel = 0): Promise<void> {
    const { host } = this.subject;
    const [error] = await this.#over('setDirection', (done) =>
      host.setDirection(line, direction, value, done),
    );
    assert.ifError(error);
  }

  async drive(line: number, value: GpioLevel): Promise<GpioError | undefined> {
    const { host } = this.subject;
    return (await this.#over('setValue', (done) => host.setValue(line, value, done)))[0];
  }

  async arm(line: number, edges: GpioEdges): Promise<GpioError | undefined> {
    const { host } = this.subject;
    return (await this.#over('arm', (done) => host.arm(line, edges, done)))[0];
  }

  /** Moves another line and waits until that is told: what is told before is told by then. */
  async settle(): Promise<void> {
    assert.ifError(await this.arm(3, BOTH));
    const level = this.subject.level(3) === 1 ? 0 : 1;
    this.subject.pull(3, level);
    const mark = level === 1 ? '3+' : '3-';
    await this.until('an edge of line 3', () => this.edges.includes(mark));
    this.edges.splice(this.edges.indexOf(mark), 1);
  }
}

function rule(section: string, name: string, run: (probe: Probe) => Promise<void>): GpioHostCase {
  return { section, name, run: (subject) => run(new Probe(subject)) };
}

/** What every {@link GpioHost} does. */
export const gpioHostComplianceCases: readonly GpioHostCase[] = [
  rule('directions', 'tells the direction of a line that nobody has', async (probe) => {
    assert.ok(probe.subject.host.names.length >= 4);
    assert.notEqual(await probe.direction(0), OUT);
  }),
  rule('directions', 'makes a line an output, an input and an output again', async (probe) => {
    for (const direction of [OUT, IN, OUT] as const) {
      await probe.take(0, direction);
      assert.equal(await probe.direction(0), direction);
    }
  }),
  rule(
    'directions',
    'begins an output with its value, also when it is one already',
    async (probe) => {
      for (const value of [1, 0, 1] as const) {
        await probe.take(0, OUT, value);
        assert.equal(probe.subject.level(0), value);
        assert.equal(await probe.value(0), value);
      }
    },
  ),
  rule(
    'directions',
    'gives a line back, and takes it again, any number of times',
    async (probe) => {
      for (let i = 0; i < 20; i++) {
        await probe.take(0, OUT, 1);
        await probe.take(0, NONE);
        await probe.take(0, NONE);
        await probe.take(0, IN);
        await probe.take(0, NONE);
      }
    },
  ),
  rule('values', 'senses an input, one that nobody has taken, too', async (probe) => {
    for (const taken of [false, true]) {
      if (taken) await probe.take(1, IN);
      for (const level of [1, 0] as const) {
        probe.subject.pull(1, level);
        assert.equal(await probe.value(1), level);
      }
    }
  }),
  rule('values', 'drives an output and nothing else', async (probe) => {
    await probe.take(0, OUT);
    await probe.take(1, OUT);
    for (const value of [1, 0, 1] as const) {
      assert.ifError(await probe.drive(0, value));
      assert.equal(probe.subject.level(0), value);
      assert.equal(probe.subject.level(1), 0);
    }
  }),
  rule('values', 'takes operations in the order in which they were begun', async (probe) => {
    const { host } = probe.subject;
    const values: (GpioLevel | undefined)[] = [];
    const begin = (value: GpioLevel): void => {
      host.setValue(0, value, () => undefined);
      host.getValue(0, (_error, level) => values.push(level));
    };
    host.setDirection(0, OUT, 1, () => undefined);
    host.getValue(0, (_error, level) => values.push(level));
    for (const value of [0, 1, 0] as const) begin(value);
    await probe.until('four values', () => values.length === 4);
    assert.deepEqual(values, [1, 0, 1, 0]);
  }),
  ...(
    [
      [GPIO_EDGE_RISING, 'rising edges', ['0+', '0+']],
      [GPIO_EDGE_FALLING, 'falling edges', ['0-', '0-']],
      [BOTH, 'both edges', ['0+', '0-', '0+', '0-']],
    ] as const
  ).map(([edges, name, expected]) =>
    rule('edges', `tells ${name}, each once and in order`, async (probe) => {
      await probe.take(0, IN);
      assert.ifError(await probe.arm(0, edges));
      for (const level of [1, 0, 1, 0] as const) {
        probe.subject.pull(0, level);
        await probe.settle();
      }
      assert.deepEqual(probe.edges, expected);
    }),
  ),
  rule('edges', 'takes a line as input that is armed and that nobody has taken', async (probe) => {
    assert.ifError(await probe.arm(0, GPIO_EDGE_RISING));
    assert.equal(await probe.direction(0), IN);
    probe.subject.pull(0, 1);
    await probe.until('an edge', () => probe.edges.length > 0);
    assert.deepEqual(probe.edges, ['0+']);
  }),
  rule('edges', 'tells none of before, and none after they are not asked for', async (probe) => {
    probe.subject.pull(0, 1);
    await probe.take(0, IN);
    probe.subject.pull(0, 0);
    assert.ifError(await probe.arm(0, BOTH));
    await probe.settle();
    assert.deepEqual(probe.edges, []);
    assert.ifError(await probe.arm(0, 0));
    probe.subject.pull(0, 1);
    await probe.settle();
    assert.deepEqual(probe.edges, []);
    assert.ifError(await probe.arm(0, BOTH));
    probe.subject.pull(0, 0);
    await probe.settle();
    assert.deepEqual(probe.edges, ['0-']);
  }),
  rule('edges', 'tells others after others are asked for', async (probe) => {
    assert.ifError(await probe.arm(0, GPIO_EDGE_RISING));
    probe.subject.pull(0, 1);
    await probe.settle();
    assert.ifError(await probe.arm(0, GPIO_EDGE_FALLING));
    for (const level of [0, 1] as const) {
      probe.subject.pull(0, level);
      await probe.settle();
    }
    assert.deepEqual(probe.edges, ['0+', '0-']);
  }),
  rule('edges', 'leaves an input armed that is made one again', async (probe) => {
    assert.ifError(await probe.arm(0, BOTH));
    await probe.take(0, IN);
    probe.subject.pull(0, 1);
    await probe.settle();
    assert.deepEqual(probe.edges, ['0+']);
  }),
  rule('edges', 'refuses those of an output', async (probe) => {
    await probe.take(0, OUT);
    assert.ok(await probe.arm(0, BOTH));
    assert.ifError(await probe.drive(0, 1));
    await probe.settle();
    assert.deepEqual(probe.edges, []);
    assert.equal(probe.subject.level(0), 1);
  }),
  rule('edges', 'ends them when the line is given back, or becomes an output', async (probe) => {
    for (const direction of [NONE, OUT] as const) {
      probe.subject.pull(0, 0);
      await probe.take(0, IN);
      assert.ifError(await probe.arm(0, BOTH));
      await probe.take(0, direction, 0);
      probe.subject.pull(0, 1);
      await probe.settle();
      assert.deepEqual(probe.edges, []);
      await probe.take(0, NONE);
    }
    probe.subject.pull(0, 0);
    assert.ifError(await probe.arm(0, BOTH));
    probe.subject.pull(0, 1);
    await probe.settle();
    assert.deepEqual(probe.edges, ['0+']);
  }),
  rule('disposal', 'calls nobody back after it, and may be disposed of twice', async (probe) => {
    const { host } = probe.subject;
    assert.ifError(await probe.arm(0, BOTH));
    let over = false;
    host.getValue(0, () => {
      over = true;
    });
    const before = over;
    host[Symbol.dispose]();
    host[Symbol.dispose]();
    probe.subject.pull(0, 1);
    for (let i = 0; i < 20; i++) await probe.subject.turn();
    assert.equal(over, before);
    assert.deepEqual(probe.edges, []);
  }),
];
