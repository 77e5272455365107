import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import { kvmStatus } from '@node-vmm/kvm-sys';
import { silentLogger } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pressButton } from '../src/button.ts';
import { daemonCommand } from '../src/daemons.ts';
import { type KvmGuestJob, runKvmGuest } from '../src/kvm-guest.ts';

const unavailable =
  kvmStatus().device === 'usable' && process.arch === 'x64'
    ? undefined
    : '(skipped, unavailable: no /dev/kvm)';

/** Where the project's set-up builds the daemons of rust-vmm, if a variable does not say. */
function rustRng(): string | undefined {
  const cache = join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'node-vmm');
  if (env['VHOST_DEVICE_RNG'] !== undefined) return env['VHOST_DEVICE_RNG'];
  if (!existsSync(cache)) return undefined;
  return readdirSync(cache)
    .filter((entry) => entry.startsWith('vhost-device-rng-'))
    .map((entry) => join(cache, entry, 'vhost-device-rng'))
    .find((path) => existsSync(path));
}
const rust = rustRng();

/** As the guest sums bytes up. */
function sumOf(bytes: Uint8Array): string {
  let sum = 0;
  for (const byte of bytes) sum = ((sum << 5) | (sum >>> 27)) ^ byte;
  return `0x${(sum >>> 0).toString(16)}`;
}

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kvm-guest-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

interface Run {
  readonly lines: readonly string[];
  readonly code: number | undefined;
}

async function run(
  backends: KvmGuestJob['backends'],
  commandLine: string,
  { vcpus = 1, onLine }: { vcpus?: number; onLine?: (line: string) => void } = {},
): Promise<Run> {
  const lines: string[] = [];
  const { end } = await runKvmGuest({
    backends,
    // Of machines that do other things, too.
    commandLine: `timeout=100 ${commandLine}`,
    vcpus,
    logger: silentLogger,
    ended: new Promise(() => undefined),
    onLine: (line) => {
      lines.push(line);
      onLine?.(line);
    },
  });
  return { lines, code: end?.kind === 'guest' ? end.code : undefined };
}

describe.skipIf(unavailable)(`a guest on /dev/kvm ${unavailable ?? 'with daemons of ours'}`, () => {
  it('gets the bytes that its rng has, each answer by an interrupt', async () => {
    // 6 sizes, twice.
    const source = Uint8Array.from({ length: 10_848 }, (_, i) => (i * i * 31 + i) >> 3);
    const file = join(directory, 'source');
    writeFileSync(file, source);
    const { lines, code } = await run(
      new Map([['rng', daemonCommand('rng', '-f', file)]]),
      'rng.requests=12',
    );
    // Who is given a call descriptor signals it once, since nobody has heard what came before it; the guest may
    // take that and the first answer as one.
    expect(lines.slice(2)).toEqual([
      `rng: 12 requests, 10848 bytes, sum ${sumOf(source)}`,
      expect.stringMatching(/^rng: 12 kicks, 12 completions, 1[23] interrupts, 0 spurious$/),
      'guest: done',
    ]);
    expect(code).toBe(0);
  });

  it('drives the chips of its I2C adapter', async () => {
    const { lines, code } = await run(
      new Map([['i2c', daemonCommand('i2c', '--simulate')]]),
      'i2c.requests=5',
    );
    expect(lines.slice(2, -2)).toEqual([
      'i2c: a chip at 0x50',
      'i2c: a chip at 0x68',
      'i2c: 2 chips',
      'i2c: 5 bytes written and read back at 0x50',
    ]);
    const [, interrupts] =
      /^i2c: 123 kicks, 128 completions, (\d+) interrupts/.exec(lines.at(-2) ?? '') ?? [];
    expect(Number(interrupts)).toBeLessThanOrEqual(128 + 3);
    expect(code).toBe(0);
  });

  it('is interrupted by each edge of a GPIO line', async () => {
    const control = join(directory, 'control');
    const pressed: Promise<void>[] = [];
    const gone = new AbortController();
    const { lines, code } = await run(
      new Map([['gpio', daemonCommand('gpio', '-l', 's4', '--control-socket', control)]]),
      'gpio.edges=50 gpio.in=3',
      {
        onLine: (line) => {
          if (line.startsWith('gpio: waiting')) {
            pressed.push(pressButton(control, '3', 50, gone.signal));
          }
        },
      },
    );
    gone.abort();
    await Promise.all(pressed);
    expect(pressed).toHaveLength(1);
    expect(lines.slice(2, 5)).toEqual([
      'gpio: 4 lines',
      'gpio: waiting for 50 edges of line 3',
      'gpio: 50 edges of line 3',
    ]);
    const [, interrupts] =
      /^gpio: 61 kicks, 61 completions, (\d+) interrupts, /.exec(lines[5] ?? '') ?? [];
    // Each of the two queues is signalled once more, when it is given its call descriptor.
    expect(Number(interrupts)).toBeGreaterThanOrEqual(61);
    expect(Number(interrupts)).toBeLessThanOrEqual(60 + 6);
    expect(lines.at(-1)).toBe('guest: done');
    expect(code).toBe(0);
  });

  it('is hostile to all three, with a second vCPU that never ends, and drives them', async () => {
    const { lines, code } = await run(
      new Map([
        ['rng', daemonCommand('rng')],
        ['i2c', daemonCommand('i2c', '--simulate')],
        ['gpio', daemonCommand('gpio', '-l', 's4')],
      ]),
      'hostile=1 spin=1 rng.requests=6 i2c.requests=2',
      { vcpus: 2 },
    );
    expect(lines.filter((line) => line.startsWith('hostile: '))).toEqual([
      'hostile: the second vCPU spins',
      'hostile: wrong accesses to rng survived',
      'hostile: wrong accesses to i2c survived',
      'hostile: wrong accesses to gpio survived',
    ]);
    expect(lines.filter((line) => line.includes('FAILED'))).toEqual([]);
    expect(code).toBe(0);
  });
});

const missing =
  unavailable ?? (rust === undefined ? '(skipped, unavailable: no vhost-device-rng)' : '');
describe.skipIf(missing !== '')(
  `a guest on /dev/kvm with vhost-device-rng of rust-vmm ${missing}`,
  () => {
    it('gets its bytes, each answer by an interrupt', async () => {
      const { lines, code } = await run(new Map([['rng', rust as string]]), 'rng.requests=60');
      expect(lines[2]).toMatch(/^rng: 60 requests, 54240 bytes, sum 0x/);
      // Whoever starts a ring kicks it once, in case the first kick was lost, and this daemon signals for a kick that
      // finds nothing, too: the guest may take that and an answer as one.
      expect(lines[3]).toMatch(/^rng: 60 kicks, 60 completions, 6[01] interrupts, 0 spurious$/);
      expect(lines.at(-1)).toBe('guest: done');
      expect(code).toBe(0);
    });
  },
);
