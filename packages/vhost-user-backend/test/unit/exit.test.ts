import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { Sockets } from '../../src/testing/index.ts';

const SCRIPT = fileURLToPath(new URL('../fixtures/exit-process.mjs', import.meta.url));

describe('the end of a process whose workers block', () => {
  const sockets = new Sockets();
  afterAll(() => sockets.close());

  it.each([
    ['exit', 7],
    ['throw', 1],
    ['signal', 9],
    ['close', 0],
  ])('by %s does not hang', async (how, code) => {
    const child = spawn(process.execPath, [SCRIPT, how, sockets.path()], { stdio: 'ignore' });
    expect(await once(child, 'exit')).toEqual([code, null]);
  });
});
