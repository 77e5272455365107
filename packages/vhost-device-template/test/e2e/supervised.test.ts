import { readFileSync } from 'node:fs';
import { connectDevice, DaemonProgram } from '@node-vmm/vhost-user-backend/testing';
import { expect, it } from 'vitest';

const main = new URL('../../dist/main.js', import.meta.url);

const children = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);

it('goes on serving its guest when the serving process is killed', async () => {
  await using daemon = await DaemonProgram.start({ main, args: ['--supervised'] });
  await using bench = await connectDevice({ socketPath: daemon.socketPath() });
  const queue = bench.queue(0);
  for (let i = 0; i < 3; i++) {
    expect((await queue.request([], [64]))[0]?.length).toBe(64);
    const [serving] = children(daemon.pid);
    if (serving !== undefined) process.kill(serving, 'SIGKILL');
  }
  expect((await queue.request([], [64]))[0]?.length).toBe(64);
  const [last = 0] = children(daemon.pid);
  // JSON.parse would take the second of two members of one name.
  const twice = daemon.stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .filter((line) => {
      const names = [...line.matchAll(/[{,]("\w+"):/g)].map(([, name]) => name);
      return new Set(names).size < names.length;
    });
  expect(daemon.stderr).toContain('serving process serves');
  expect(twice).toEqual([]);
  expect(await daemon.stop()).toEqual({ code: 0, signal: null });
  expect(() => process.kill(last, 0)).toThrow('ESRCH');
});

it('the serving process ends with its supervisor', async () => {
  await using daemon = await DaemonProgram.start({ main, args: ['--supervised'] });
  await using bench = await connectDevice({ socketPath: daemon.socketPath() });
  await bench.queue(0).request([], [64]);
  const [serving = 0] = children(daemon.pid);
  await daemon.stop('SIGKILL');
  const gone = (): boolean => {
    try {
      process.kill(serving, 0);
      return false;
    } catch {
      return true;
    }
  };
  await expect.poll(gone, { timeout: 20_000 }).toBe(true);
});
