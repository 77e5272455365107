// Runs in a guest of plain QEMU: hosts of GPIO lines against the kernel's gpio-sim. Prints one JSON line
// per case.
//
// node gpio-host.js <name of the chip in configfs>
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  EVENT_BUFFER_SIZE,
  findChip,
  GPIO_V2_LINE_FLAG_OUTPUT,
  type GpioEdges,
  GpioLines,
  LinuxGpioChipFile,
  LinuxGpioHost,
  serveGpioLines,
} from '@node-vmm/vhost-device-gpio';
import { type GpioHostSubject, gpioHostComplianceCases } from '@node-vmm/vhost-device-gpio/testing';
import { EventFd, EventLoop, silentLogger } from '@node-vmm/vmm-sys-util';

const [label = ''] = process.argv.slice(2);
const chip = findChip({ name: label });
const path = `/dev/gpiochip${chip.number}`;

/** Where gpio-sim shows its lines. */
function simulated(): string {
  const root = '/sys/devices/platform';
  for (const device of readdirSync(root).filter((name) => name.startsWith('gpio-sim.'))) {
    const name = `gpiochip${chip.number}`;
    if (readdirSync(`${root}/${device}`).includes(name)) return `${root}/${device}/${name}`;
  }
  throw new Error(`no gpio-sim has gpiochip${chip.number}`);
}
const sim = simulated();
const line = (number: number): string => `${sim}/sim_gpio${number}`;
const pull = (number: number, level: number): void =>
  writeFileSync(`${line(number)}/pull`, level === 1 ? 'pull-up' : 'pull-down');
const level = (number: number): 0 | 1 =>
  readFileSync(`${line(number)}/value`, 'utf8').trim() === '1' ? 1 : 0;

/** Descriptors of lines that this process has. */
function requests(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).includes('gpio-line');
    } catch {
      return false;
    }
  }).length;
}

type HostThread = ConstructorParameters<typeof LinuxGpioHost>[2];

/** What the host asks is done at once and answered at the next turn. */
function directThread(lines: GpioLines, later: (() => void)[]): HostThread {
  const host = serveGpioLines(lines);
  let live = true;
  const close = (): void => {
    if (live) host[Symbol.dispose]();
    live = false;
  };
  return {
    request(request, answered) {
      let error: Error | undefined;
      let answer: unknown;
      try {
        answer = host.answer(request);
      } catch (caught) {
        error = caught as Error;
      }
      later.push(() => live && answered(error, answer));
    },
    close,
    [Symbol.dispose]: close,
  };
}

interface Opened extends GpioHostSubject {
  readonly host: LinuxGpioHost;
  close(): void;
}

/** With the event loop of a vring worker, which knows no promises. */
function open(): Opened {
  const stop = EventFd.create();
  const loop = new EventLoop(stop);
  const later: (() => void)[] = [];
  const lines = new GpioLines({ path, label: chip.label, lines: chip.names.length });
  const host = new LinuxGpioHost(`gpiochip${chip.number}`, chip.names, directThread(lines, later), {
    logger: silentLogger,
    poller: loop,
  });
  return {
    host,
    pull,
    level,
    turn: async () => {
      for (const answer of later.splice(0)) answer();
      loop.turn(0);
      await sleep(0);
    },
    close: () => {
      host[Symbol.dispose]();
      loop.close();
      stop.close();
    },
  };
}

async function report(suite: string, name: string, run: () => Promise<void> | void): Promise<void> {
  let error: string | undefined;
  try {
    await run();
  } catch (caught) {
    error = caught instanceof Error ? (caught.stack ?? caught.message) : String(caught);
  }
  process.stdout.write(`${JSON.stringify({ suite, name, error })}\n`);
}

async function until({ turn }: Opened, what: string, condition: () => boolean): Promise<void> {
  const end = performance.now() + 60_000;
  while (!condition()) {
    assert.ok(performance.now() < end, `not in time: ${what}`);
    await turn();
  }
}

async function over(
  of: Opened,
  begin: (done: (error?: Error) => void) => void,
): Promise<Error | undefined> {
  let result: { readonly error: Error | undefined } | undefined;
  begin((error) => {
    result = { error };
  });
  await until(of, 'an operation', () => result !== undefined);
  return result?.error;
}

const arm = (of: Opened, number: number, edges: GpioEdges): Promise<Error | undefined> =>
  over(of, (done) => of.host.arm(number, edges, done));

for (const rule of gpioHostComplianceCases) {
  await report('compliance', `${rule.section}: ${rule.name}`, async () => {
    for (let number = 0; number < 4; number++) pull(number, 0);
    const opened = open();
    try {
      await rule.run(opened);
    } finally {
      opened.close();
    }
    assert.equal(requests(), 0, 'lines are left that nobody gave back');
  });
}

/** A line that somebody else has, in the cases that say so. */
const HELD = 63;

/** Runs with a host that has kept its edges. */
async function withHost(run: (opened: Opened, edges: string[]) => Promise<void>): Promise<void> {
  for (let number = 0; number < 4; number++) pull(number, 0);
  const opened = open();
  const edges: string[] = [];
  opened.host.listen((number, rising) => edges.push(`${number}${rising ? '+' : '-'}`));
  try {
    await run(opened, edges);
  } finally {
    opened.close();
  }
  assert.equal(requests(), 1, 'lines are left that nobody gave back');
}

const other = new LinuxGpioChipFile(path);
const held = other.request(HELD, 'somebody else', { flags: GPIO_V2_LINE_FLAG_OUTPUT, value: 1 });

await report('gpio-sim', 'tells names as the firmware has them', () => {
  assert.deepEqual(chip.names.slice(0, 3), ['button', '', 'led']);
  assert.equal(chip.names.length, 64);
});

await report('gpio-sim', 'counts 1000 edges, none lost and none twice', () =>
  withHost(async (opened, edges) => {
    assert.ifError(await arm(opened, 0, 3));
    for (let i = 1; i <= 1000; i++) {
      pull(0, i % 2);
      await until(opened, `edge ${i}`, () => edges.length >= i);
    }
    const expected = Array.from({ length: 1000 }, (_, i) => (i % 2 === 0 ? '0+' : '0-'));
    assert.deepEqual(edges, expected);
    assert.deepEqual(opened.host.counters, { edges: 1000, lostEdges: 0 });
  }),
);

await report('gpio-sim', 'counts edges that the kernel had no room for', () =>
  withHost(async (opened, edges) => {
    assert.ifError(await arm(opened, 0, 3));
    const count = EVENT_BUFFER_SIZE + 36;
    // The kernel's thread for the line's interrupt has to have run before the next edge.
    for (let i = 1; i <= count; i++) {
      pull(0, i % 2);
      await sleep(5);
    }
    await until(opened, 'the count', () => opened.host.counters.edges >= count);
    const { counters } = opened.host;
    assert.deepEqual(counters, { edges: count, lostEdges: count - EVENT_BUFFER_SIZE });
    assert.equal(edges.length, EVENT_BUFFER_SIZE + 1);
  }),
);

await report('gpio-sim', 'gives a level by a read after an edge', () =>
  withHost(async (opened, edges) => {
    const { host } = opened;
    let levels = 0;
    /** As a device does at each unmask: edges tell when to look, the line tells what it is. */
    const unmask = (): void =>
      host.getValue(0, (error, value) => {
        if (error === undefined && value === 1) levels++;
      });
    assert.ifError(await arm(opened, 0, 1));
    unmask();
    pull(0, 1);
    await until(opened, 'an edge', () => edges.length > 0);
    for (let i = 1; i <= 10; i++) {
      unmask();
      await until(opened, `level ${i}`, () => levels === i);
    }
    pull(0, 0);
    unmask();
    assert.equal(await over(opened, (done) => host.getValue(0, (error) => done(error))), undefined);
    assert.equal(levels, 10);
    assert.deepEqual(edges, ['0+']);
  }),
);

await report('gpio-sim', 'has all 64 lines armed at once, without a thread each', () =>
  withHost(async (opened, edges) => {
    const threads = (): number => readdirSync('/proc/self/task').length;
    const before = threads();
    for (let number = 0; number < 64; number++) {
      if (number !== HELD) assert.ifError(await arm(opened, number, 1));
    }
    assert.equal(requests(), 63 + 1);
    assert.equal(threads(), before);
    for (let number = 0; number < 64; number++) if (number !== HELD) pull(number, 1);
    await until(opened, 'an edge of each', () => new Set(edges).size === 63);
    for (let number = 0; number < 64; number++) pull(number, 0);
  }),
);

await report('gpio-sim', 'fails for a line that another has, and for that alone', () =>
  withHost(async (opened) => {
    const error = await arm(opened, HELD, 3);
    assert.equal((error as { code?: string } | undefined)?.code, 'LINE_BUSY');
    assert.match(String(error), /"somebody else" has it/);
    assert.ifError(await arm(opened, HELD - 1, 3));
    const direction: unknown[] = [];
    opened.host.getDirection(HELD, (failure, answer) => direction.push(failure, answer));
    await until(opened, 'the direction', () => direction.length > 0);
    assert.deepEqual(direction, [undefined, 1]);
  }),
);
held[Symbol.dispose]();
other[Symbol.dispose]();
process.stdout.write('{"done":true}\n');
