import { readFileSync } from 'node:fs';
import { connectDevice, DaemonProgram } from '@node-vmm/vhost-user-backend/testing';
import { expect, it } from 'vitest';

const main = new URL('../../dist/main.js', import.meta.url);

const children = (pid: number): number[] =>
  (readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').match(/\d+/g) ?? []).map(Number);

const gone = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
};

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
  const last = children(daemon.pid);
  // Said once all of it is served, which the answer is quicker than.
  await expect.poll(() => daemon.stderr).toContain('serving process serves');
  // JSON.parse would take the second of two members of one name.
  const twice = daemon.stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .filter((line) => {
      const names = [...line.matchAll(/[{,]("\w+"):/g)].map(([, name]) => name);
      return new Set(names).size < names.length;
    });
  expect(twice).toEqual([]);
  expect(await daemon.stop()).toEqual({ code: 0, signal: null });
  await expect.poll(() => last.every(gone)).toBe(true);
});

it('the serving process ends with its supervisor', async () => {
  await using daemon = await DaemonProgram.start({ main, args: ['--supervised'] });
  await using bench = await connectDevice({ socketPath: daemon.socketPath() });
  await bench.queue(0).request([], [64]);
  const [serving = 0] = children(daemon.pid);
  await daemon.stop('SIGKILL');
  await expect.poll(() => gone(serving)).toBe(true);
});
