import { setTimeout as sleep } from 'node:timers/promises';
import { EBUSY, EIO, EMFILE, ENXIO, EPERM, silentLogger } from '@node-vmm/vmm-sys-util';
import { MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
import { afterEach, describe, expect, it } from 'vitest';
import type { GpioError } from '../../src/errors.ts';
import type { GpioDirection, GpioEdges } from '../../src/gpio-host.ts';
import { EVENT_BUFFER_SIZE } from '../../src/linux/gpio-chip-file.ts';
import { GPIO_CONSUMER, GpioLines } from '../../src/linux/gpio-lines.ts';
import { LinuxGpioHost } from '../../src/linux/linux-gpio-host.ts';
import { serveGpioLines } from '../../src/linux/serve-gpio-lines.ts';
import { gpioHostComplianceCases } from '../../src/testing/index.ts';
import { FakeKernel } from '../support/fake-kernel.ts';
import { hostThread } from '../support/host-thread.ts';

const OUT = 1;
const IN = 2;

let host: LinuxGpioHost | undefined;

afterEach(() => host?.[Symbol.dispose]());

function open(kernel: FakeKernel, logger: MemoryLogger | typeof silentLogger = silentLogger) {
  const { label, lines: all, openChip, poller, readEvents } = kernel;
  const lines = new GpioLines({ path: '/dev/gpiochip0', label, lines: all.length }, openChip);
  const thread = hostThread(serveGpioLines(lines));
  const names = all.map((_, line) => `line-${line}`);
  host = new LinuxGpioHost('gpiochip0', names, thread, { logger, poller, readEvents });
  const edges: string[] = [];
  host.listen((line, rising) => edges.push(`${line}${rising ? '+' : '-'}`));
  return { host, lines, edges };
}

/** @returns the error that an operation is over with */
function over(begin: (done: (error?: GpioError) => void) => void): Promise<GpioError | undefined> {
  return new Promise((resolve) => begin(resolve));
}
const arm = (of: LinuxGpioHost, line: number, edges: GpioEdges) =>
  over((done) => of.arm(line, edges, done));
const take = (of: LinuxGpioHost, line: number, direction: GpioDirection) =>
  over((done) => of.setDirection(line, direction, 0, done));

describe('GpioHost: Linux, on a kernel of ours', () => {
  it.each(gpioHostComplianceCases.map((rule) => [rule.section, rule.name, rule] as const))(
    '%s: %s',
    async (_section, _name, { run }) => {
      const kernel = new FakeKernel();
      const { host: subject } = open(kernel);
      await run({
        host: subject,
        pull: (line, level) => kernel.pull(line, level),
        level: (line) => (kernel.line(line).value === 1 ? 1 : 0),
        turn: () => sleep(1),
      });
      subject[Symbol.dispose]();
      await expect.poll(() => kernel.open).toBe(0);
      expect(kernel.poller.watched.size).toBe(0);
    },
  );
});

describe('lines that cannot be had', () => {
  it.each([
    ['LINE_BUSY', EBUSY],
    ['LINE_BUSY', EPERM],
    ['NOT_SUPPORTED', ENXIO],
    ['IO', EMFILE],
  ])('fail with %s of errno %i, alone, and can be had later', async (code, errno) => {
    const kernel = new FakeKernel();
    const { host: subject } = open(kernel);
    kernel.faults.set('GPIO_V2_GET_LINE_IOCTL', errno);
    expect(await take(subject, 0, OUT)).toMatchObject({ code, context: { line: 0 } });
    expect(await take(subject, 1, OUT)).toBeUndefined();
    expect(await take(subject, 0, OUT)).toBeUndefined();
  });

  it('are said to be those of who has them, and tell their direction', async () => {
    const kernel = new FakeKernel();
    kernel.line(2).consumer = 'regulator';
    kernel.line(2).output = true;
    const { host: subject } = open(kernel);
    const error = await over((done) => subject.getValue(2, done));
    expect(error?.message).toBe(
      'Cannot read line 2 of /dev/gpiochip0: "regulator" has it; end that program or unbind that driver',
    );
    const direction = new Promise((resolve) =>
      subject.getDirection(2, (_error, answer) => resolve(answer)),
    );
    expect(await direction).toBe(OUT);
  });

  it('are taken when they are first used, one request each, and given back', async () => {
    const kernel = new FakeKernel();
    const { host: subject, lines } = open(kernel);
    await over((done) => subject.getDirection(0, done));
    expect(lines.requested).toBe(0);
    await over((done) => subject.getValue(0, done));
    await take(subject, 1, IN);
    await arm(subject, 1, 3);
    expect(lines.requested).toBe(2);
    expect(kernel.line(1).consumer).toBe(GPIO_CONSUMER);
    // The chip's own file, and one a line.
    expect(kernel.open).toBe(3);
    await take(subject, 1, 0);
    expect(kernel.open).toBe(2);
    expect(kernel.line(1).consumer).toBeUndefined();
  });

  it('cost no descriptor, whatever a guest does', async () => {
    const kernel = new FakeKernel(64);
    const { host: subject, lines } = open(kernel);
    const requests = [
      'GPIO_V2_GET_LINE_IOCTL',
      'GPIO_V2_LINE_SET_CONFIG_IOCTL',
      'GPIO_V2_LINE_GET_VALUES_IOCTL',
    ];
    // Not random: a failure is the same again.
    for (let i = 0, seed = 1; i < 2000; i++) {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      const line = (seed >> 8) % 64;
      const fault = requests[(seed >> 14) % 16];
      if (fault !== undefined) kernel.faults.set(fault, EIO);
      const done = (): void => undefined;
      switch ((seed >> 20) % 5) {
        case 0:
          subject.setDirection(line, ((seed >> 24) % 3) as GpioDirection, 1, done);
          break;
        case 1:
          subject.arm(line, ((seed >> 24) % 4) as GpioEdges, done);
          break;
        case 2:
          subject.getValue(line, done);
          break;
        case 3:
          subject.setValue(line, 1, done);
          break;
        default:
          kernel.pull(line, (seed >> 24) % 2);
          await sleep(0);
      }
    }
    await over((done) => subject.getValue(0, () => done()));
    expect(lines.requested).toBeGreaterThan(0);
    expect(kernel.open).toBe(1 + lines.requested);
    for (let line = 0; line < 64; line++) await take(subject, line, 0);
    expect(kernel.open).toBe(1);
    expect(kernel.poller.watched.size).toBe(0);
  });
});

describe('edges', () => {
  it('keep what was armed when others cannot be had', async () => {
    const kernel = new FakeKernel();
    const { host: subject, edges } = open(kernel);
    await arm(subject, 0, 1);
    // The first configuration stops the detector, the second would arm the other edge.
    let calls = 0;
    const { fail } = kernel;
    kernel.fail = (request) => {
      fail.call(kernel, request);
      calls += request === 'GPIO_V2_LINE_SET_CONFIG_IOCTL' ? 1 : 0;
      if (calls === 1) kernel.faults.set('GPIO_V2_LINE_SET_CONFIG_IOCTL', ENXIO);
    };
    expect(await arm(subject, 0, 2)).toMatchObject({ code: 'NOT_SUPPORTED' });
    kernel.pull(0, 1);
    await expect.poll(() => edges).toEqual(['0+']);
  });

  it('are counted, those too that the kernel had no room for, and told as one', async () => {
    const kernel = new FakeKernel();
    const { host: subject, edges } = open(kernel);
    await arm(subject, 0, 3);
    const count = EVENT_BUFFER_SIZE + 10;
    for (let i = 0; i < count; i++) kernel.pull(0, 1 - (i % 2));
    await expect.poll(() => subject.counters.edges).toBe(count);
    expect(subject.counters.lostEdges).toBe(10);
    expect(edges.length).toBe(EVENT_BUFFER_SIZE + 1);
    // What was lost is told as the other edge than that which comes next.
    expect(edges.slice(0, 3)).toEqual(['0-', '0+', '0-']);
  });

  it('lose none of the count over a change of what is asked for', async () => {
    const kernel = new FakeKernel();
    const { host: subject } = open(kernel);
    for (let round = 1; round <= 3; round++) {
      await arm(subject, 0, 3);
      for (let i = 0; i < 4; i++) kernel.pull(0, 1 - (i % 2));
      await expect.poll(() => subject.counters.edges).toBe(4 * round);
      await arm(subject, 0, 0);
    }
    expect(subject.counters.lostEdges).toBe(0);
  });

  it('end when the descriptor gives no whole event', async () => {
    const kernel = new FakeKernel();
    const logger = new MemoryLogger();
    const { host: subject } = open(kernel, logger);
    await arm(subject, 0, 3);
    kernel.shortRead = 7;
    kernel.pull(0, 1);
    await expect.poll(() => kernel.poller.watched.size).toBe(0);
    expect(JSON.stringify(logger.lines)).toContain('a read gave 7 bytes');
    await expect.poll(() => kernel.line(0).consumer).toBeUndefined();
    expect(await arm(subject, 0, 3)).toBeUndefined();
  });
});

describe('a chip that goes', () => {
  it('fails every line with NO_DEVICE and serves again when it is back', async () => {
    const kernel = new FakeKernel();
    const logger = new MemoryLogger();
    const { host: subject, edges } = open(kernel, logger);
    await arm(subject, 0, 3);
    await take(subject, 1, OUT);
    kernel.remove();
    await expect.poll(() => kernel.poller.watched.size).toBe(0);
    expect(await over((done) => subject.getValue(0, done))).toMatchObject({ code: 'NO_DEVICE' });
    expect(await over((done) => subject.setValue(1, 1, done))).toMatchObject({ code: 'NO_DEVICE' });
    // It is asked anew: what is left open is nothing.
    await over((done) => subject.getValue(3, () => done()));
    expect(kernel.open).toBe(0);
    kernel.gone = false;
    expect(await arm(subject, 0, 3)).toBeUndefined();
    kernel.pull(0, 1);
    await expect.poll(() => edges).toEqual(['0+']);
  });

  it('is not taken for another one that has its place', async () => {
    const kernel = new FakeKernel();
    const { host: subject } = open(kernel);
    kernel.gone = true;
    await over((done) => subject.getValue(0, () => done()));
    kernel.gone = false;
    kernel.label = 'other';
    const error = await over((done) => subject.getValue(0, done));
    expect(error).toMatchObject({ code: 'NO_DEVICE' });
    expect(error?.message).toContain('it was fake with 4 lines and is now other with 4');
    expect(kernel.open).toBe(0);
  });
});
