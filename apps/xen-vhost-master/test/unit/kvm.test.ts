import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { kvmStatus } from '@node-vmm/kvm-sys';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const unavailable =
  kvmStatus().device === 'usable' && process.arch === 'x64'
    ? undefined
    : '(skipped, unavailable: no /dev/kvm)';
const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const RNG = fileURLToPath(
  new URL('../../../../packages/vhost-device-rng/dist/main.js', import.meta.url),
);
/** Registers of a window at 0xd0000000 and what is said of them at port 0xe9. */
const SAY_MAGIC = `a1000000d0e6e9${'c1e808e6e9'.repeat(3)}b00ae6e9`;
const SAY_DEVICE = 'a1080000d00430e6e9b00ae6e9';
const exitWith = (code: string): string => `b0${code}e6f4ebfe`;
const SPIN = 'ebfe';
const THREADS = [0, 2];
/** Options of Node that it takes for a process and refuses for a thread. */
const FOR_PROCESSES = ['--max-old-space-size=512'];
/** For a program that is text. */
const AS_TEXT = ['--input-type=module', '-e', 'await import(process.argv[1])'];

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'xen-vhost-master-kvm-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function start(code: string, ...words: string[]) {
  return startBy([], code, ...words);
}

/** @param options - Node's */
function startBy(options: readonly string[], code: string, ...words: string[]) {
  const image = join(directory, 'guest.bin');
  writeFileSync(image, Buffer.from(code, 'hex'));
  const control = join(directory, 'control');
  const argv = [
    ...options,
    MAIN,
    'kvm',
    '--image',
    image,
    '--memory',
    '4M',
    '--control-socket',
    control,
  ];
  const child = spawn(execPath, [...argv, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => {
    said.out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    said.err += text;
  });
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return { child, said, ended, control };
}

/** What a scrape of a socket says. */
async function scrape(socketPath: string): Promise<string> {
  const asked = request({ socketPath, path: '/metrics' });
  asked.end();
  const [response] = await once(asked, 'response');
  let text = '';
  for await (const part of response.setEncoding('utf8')) text += part;
  return text;
}

describe.skipIf(unavailable)(`xen-vhost-master kvm ${unavailable ?? 'on /dev/kvm'}`, () => {
  it.each(THREADS)(
    'has a guest find a device that a daemon of its own serves, with %d dispatch threads',
    async (threads) => {
      const device = ['--device', 'rng,spawn', '--spawn', `rng=${execPath} ${RNG}`];
      const words = [...device, '--dispatch-threads', `${threads}`];
      const { said, ended } = start(SAY_MAGIC + SAY_DEVICE + exitWith('00'), ...words);
      expect(await ended, said.err).toBe(0);
      expect(said.out).toBe('virt\n4\n');
      expect(/"threads":(\d)/.exec(said.err)?.[1]).toBe(threads === 0 ? undefined : `${threads}`);
    },
  );

  it('ends with 1 and says why when the guest ends with a code', async () => {
    const { said, ended } = start(exitWith('05'), '--log-level', 'silent');
    expect(await ended).toBe(1);
    expect(said.err).toBe('xen-vhost-master: the guest has ended with code 5\n');
  });

  it.each(THREADS)(
    'ends with 0 at a signal, also when its guest spins, and tells its status before, with %d dispatch threads',
    async (threads) => {
      const device = ['--device', 'rng,spawn', '--spawn', `rng=${execPath} ${RNG}`];
      const words = ['--vcpus', '2', '--dispatch-threads', `${threads}`, ...device];
      const { child, said, ended, control } = start(SAY_MAGIC + SPIN, ...words);
      await expect.poll(() => said.out).toBe('virt\n');
      const status = spawn(execPath, [MAIN, 'status', '--json', '--control-socket', control]);
      let answer = '';
      status.stdout.setEncoding('utf8').on('data', (text) => {
        answer += text;
      });
      await once(status, 'close');
      expect(JSON.parse(answer)).toMatchObject({
        guests: [{ guest: 1, vm: 'kvm', devices: 1 }],
        devices: [{ type: 'rng', state: 'up', irq: 5 }],
      });
      child.kill('SIGTERM');
      expect(await ended, said.err).toBe(0);
    },
  );

  it.each(THREADS)('serves metrics of its machine, with %d dispatch threads', async (threads) => {
    const metrics = join(directory, 'metrics');
    const device = ['--device', 'rng,spawn', '--spawn', `rng=${execPath} ${RNG}`];
    const words = [...device, '--metrics', metrics, '--dispatch-threads', `${threads}`];
    const { child, said, ended } = start(SAY_MAGIC + SPIN, ...words);
    await expect.poll(() => said.out).toBe('virt\n');
    const text = await scrape(metrics);
    expect(text).toMatch(/^vhost_bridge_guests 1$/m);
    // The window's magic value, which the guest has read.
    expect(text).toMatch(/^vhost_bridge_accesses_total [1-9]\d*$/m);
    child.kill('SIGTERM');
    expect(await ended, said.err).toBe(0);
  });

  it.each([
    { what: 'a process', options: FOR_PROCESSES },
    { what: 'a text', options: AS_TEXT },
  ])(
    "runs with options of Node that are $what's and none of a thread, and its daemon too",
    async ({ options }) => {
      const metrics = join(directory, 'metrics');
      const daemon = [execPath, ...options.map((option) => `'${option}'`), RNG].join(' ');
      const device = ['--device', 'rng,spawn', '--spawn', `rng=${daemon}`];
      const words = [...device, '--metrics', metrics, '--dispatch-threads', '1'];
      const { child, said, ended } = startBy(options, SAY_MAGIC + SPIN, ...words);
      await Promise.race([expect.poll(() => said.out).toBe('virt\n'), ended]);
      expect(said.out, said.err).toBe('virt\n');
      expect(await scrape(metrics)).toMatch(/^vhost_bridge_guests 1$/m);
      child.kill('SIGTERM');
      expect(await ended, said.err).toBe(0);
    },
  );

  it('says which file cannot be read', async () => {
    const { said, ended } = start(SPIN, '--image', join(directory, 'absent.bin'));
    expect(await ended).toBe(1);
    expect(said.err).toMatch(/Cannot read the guest's image: ENOENT/);
  });
});
