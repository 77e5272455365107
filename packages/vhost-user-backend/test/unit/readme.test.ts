import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { FrontEnd, Guest, GuestRing, negotiate, Sockets, until } from '../../src/testing/index.ts';

it('the entropy device of the README runs and has twenty lines of code', async () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const code = /```js\n\/\/ entropy\.mjs\n(.*?)```/s.exec(readme)?.[1] ?? '';
  expect(code.split('\n').filter((line) => line.trim() !== '').length).toBeLessThanOrEqual(20);
  // Within the package, so that its imports are found, and where git does not look.
  const directory = new URL('../../dist/.readme/', import.meta.url);
  mkdirSync(directory, { recursive: true });
  const script = new URL('entropy.mjs', directory);
  writeFileSync(script, code);
  const sockets = new Sockets();
  const path = sockets.path();
  const child = spawn(process.execPath, [script.pathname, path], { stdio: 'inherit' });
  await until(() => existsSync(path) || child.exitCode !== null);
  expect(child.exitCode).toBeNull();
  let frontEnd: FrontEnd | undefined;
  await until(() => {
    try {
      frontEnd = new FrontEnd(path);
      return true;
    } catch {
      return false;
    }
  });
  if (frontEnd === undefined) throw new Error('no connection');
  const guest = new Guest();
  const ring = new GuestRing(guest);
  await negotiate(frontEnd, guest);
  ring.setUp(frontEnd);
  await ring.enable(frontEnd);
  ring.submit(Array<number>(64).fill(0));
  expect(await ring.collect(frontEnd.poller, 1)).toEqual([64]);
  const bytes = new Uint8Array(64);
  guest.memory.read((ring.layout.descTable + 0x10_1000n) as never, bytes);
  expect(new Set(bytes).size).toBeGreaterThan(16);
  frontEnd.close();
  ring.close();
  guest.close();
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
  rmSync(directory, { recursive: true });
  sockets.close();
});
