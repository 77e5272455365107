import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type EventFd, setNonBlocking, writeFd } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';
import type { ServedDevice } from '../../src/index.ts';
import {
  type FrontEnd,
  type GuestRing,
  negotiate,
  Sockets,
  until,
} from '../../src/testing/index.ts';
import { type Bench, useBench } from '../bench.ts';

const STUCK = new URL('../fixtures/stuck-device.mjs', import.meta.url);
const FULL = BigUint64Array.of(0xffff_ffff_ffff_fffen);

/** Makes an eventfd that the daemon shares block whoever writes it. */
function fill(event: EventFd): void {
  // The daemon may signal it at any moment, and this thread must not be the one that waits.
  do event.drain();
  while (writeFd(event.fd, FULL, 8) < 0);
  setNonBlocking(event.fd, false);
}

/** A guest beside that of `bench.running`, with the second ring of the same memory. */
async function enemyOf(
  bench: Bench,
  device: ServedDevice,
): Promise<{ frontEnd: FrontEnd; ring: GuestRing }> {
  const frontEnd = bench.connect(device);
  await negotiate(frontEnd, bench.guest);
  const ring = bench.ring(1);
  ring.setUp(frontEnd);
  expect(await ring.enable(frontEnd)).toBe(0);
  return { frontEnd, ring };
}

describe('A front-end whose notification descriptor blocks', () => {
  const bench = useBench();

  it.each(['call', 'err'] as const)(
    'is dropped, and others on its worker go on: %s',
    async (kind) => {
      const evil = await bench().addDevice({}, { name: 'evil' });
      const victim = await bench().running();
      const enemy = await enemyOf(bench(), evil);
      fill(enemy.ring[kind]);
      if (kind === 'err') {
        enemy.ring.driver.raw.availIndex = 1000;
        enemy.ring.kick.signal();
      } else {
        enemy.ring.submit([1]);
      }
      // Kicked while the worker hangs in the write.
      for (let i = 0; i < 20; i++) {
        victim.ring.submit([1, 2, 3]);
        expect(await victim.ring.collect(victim.frontEnd.poller, 1)).toEqual([3]);
      }
      expect(await enemy.frontEnd.closed).toBe('peer-closed');
      expect(bench().logger.find('front-end dropped')).toMatchObject({
        level: 'error',
        context: { device: 'evil' },
      });
      // It is served again, but not at once: what it does costs the others time.
      await until(async () => (await evil.status()).state === 'listening');
      victim.ring.submit([1]);
      expect(await victim.ring.collect(victim.frontEnd.poller, 1)).toEqual([1]);
    },
  );

  it('cannot hold on by filling the counter again and again', async () => {
    const evil = await bench().addDevice({}, { name: 'evil' });
    const enemy = await enemyOf(bench(), evil);
    fill(enemy.ring.call);
    const script = `
      import { writeSync } from 'node:fs';
      const full = new BigUint64Array([0xfffffffffffffffen, 1n]);
      for (;;) try { writeSync(3, new Uint8Array(full.buffer, 8, 8)); } catch {}`;
    const refillers = Array.from({ length: 2 }, () =>
      spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'ignore', 'ignore', enemy.ring.call.fd],
      }),
    );
    try {
      await Promise.all(refillers.map((child) => once(child, 'spawn')));
      enemy.ring.submit([1]);
      expect(await enemy.frontEnd.closed).toBe('peer-closed');
      const victim = await bench().running();
      victim.ring.submit([1, 2]);
      expect(await victim.ring.collect(victim.frontEnd.poller, 1)).toEqual([2]);
    } finally {
      for (const child of refillers) child.kill('SIGKILL');
    }
  });
});

describe('Device code that does not come back', () => {
  const bench = useBench({}, { workers: 2 });

  it('from a loop in process is named, and its worker ends with its devices', async () => {
    const options = { process: 'loop' };
    const spinner = await bench().addDevice(options, { name: 'spinner', module: STUCK });
    const { frontEnd, ring } = await bench().running(spinner);
    ring.submit([1]);
    const failure = await bench().daemon.failure;
    expect(failure).toMatchObject({ code: 'DEVICE_HANGS', context: { device: 'spinner' } });
    expect(failure?.message).toMatch(/spinner.*process/);
    const told = bench().logger.lines.filter(({ message }) => message.includes('spinner'));
    expect(told.map(({ level }) => level)).toContain('error');
    expect(await frontEnd.closed).toBe('peer-closed');
    expect((await spinner.status()).state).toBe('failed');
    // The other worker knows nothing of it.
    const other = await bench().running();
    other.ring.submit([1, 2]);
    expect(await other.ring.collect(other.frontEnd.poller, 1)).toEqual([2]);
  });

  it('from a loop in createDevice is an error of addDevice', async () => {
    const options = { createDevice: 'loop' };
    await expect(
      bench().addDevice(options, { name: 'spinner', module: STUCK }),
    ).rejects.toMatchObject({ code: 'DEVICE_HANGS', context: { device: 'spinner' } });
  });

  it('from a loop at the top of its module is an error of addDevice', {
    timeout: 180_000,
  }, async () => {
    const module = new URL('data:text/javascript,for(;;);');
    await expect(bench().addDevice({}, { name: 'spinner', module })).rejects.toMatchObject({
      code: 'DEVICE_HANGS',
      message: expect.stringMatching(
        /device spinner: the top of its module does not come back; look/,
      ),
    });
  });

  it('from an await at the top of its module is an error of addDevice', async () => {
    const module = new URL('data:text/javascript,await new Promise(() => {});');
    await expect(bench().addDevice({}, { name: 'waiter', module })).rejects.toMatchObject({
      code: 'WORKER_FAILED',
      message: expect.stringMatching(/device waiter: .* an await at the top of a module waits/),
    });
  });

  it('from a loop in its disposal does not hold up the end', async () => {
    const options = { dispose: 'loop' };
    const spinner = await bench().addDevice(options, { name: 'spinner', module: STUCK });
    await spinner.close();
    await bench().daemon.close();
  });

  it('from a wait in process is named, and may come back', async () => {
    const pipe = join(bench().sockets.directory, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const options = { process: pipe };
    const waiter = await bench().addDevice(options, { name: 'waiter', module: STUCK });
    const { frontEnd, ring } = await bench().running(waiter);
    ring.submit([1]);
    await until(() => bench().logger.find('waiter has not come back from process') !== undefined);
    writeFileSync(pipe, 'x');
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([0]);
    expect(waiter.failure).toBeUndefined();
  });
});

describe('A process whose worker waits for ever', () => {
  it.each([
    ['close', 1, null],
    ['exit', null, 'SIGALRM'],
  ])('ends by itself: %s', async (how, code, signal) => {
    const sockets = new Sockets();
    const script = fileURLToPath(new URL('../fixtures/stuck-process.mjs', import.meta.url));
    const child = spawn(process.execPath, [script, how, sockets.path()], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    expect(await once(child, 'exit')).toEqual([code, signal]);
    sockets.close();
  });
});

describe('A process that ends while its worker loads', () => {
  it('lets it: native code that is being loaded would abort the process', async () => {
    const sockets = new Sockets();
    const marker = join(sockets.directory, 'loaded');
    const script = fileURLToPath(new URL('../fixtures/early-exit-process.mjs', import.meta.url));
    const child = spawn(process.execPath, [script, sockets.path(), marker], { stdio: 'inherit' });
    expect(await once(child, 'exit')).toEqual([7, null]);
    expect(existsSync(marker)).toBe(true);
    sockets.close();
  });
});
