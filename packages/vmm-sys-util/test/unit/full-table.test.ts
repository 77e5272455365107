import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../fixtures/full-table-process.mjs', import.meta.url));

/** What a process sees of so many descriptors in a message when it has room for so many. */
function receive(passed: number, room: number): unknown {
  const words = ['-c', 'ulimit -n 100 && exec "$@"', 'sh', process.execPath, SCRIPT];
  const { stdout, stderr } = spawnSync('sh', [...words, `${passed}`, `${room}`], {
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

describe('descriptors that come when a process can have no more', () => {
  // The last two are cut off where the room in the message ends, but for what aligns it.
  it.each([
    [5, 0],
    [5, 1],
    [5, 4],
    [32, 30],
    [32, 31],
    [31, 30],
  ])('are our own shortage, not the peer: %i with room for %i', (passed, room) => {
    expect(receive(passed, room)).toEqual({
      bytes: 1,
      fds: 0,
      truncated: false,
      code: 'EMFILE',
      left: room,
      next: passed,
      came: passed,
    });
  });

  it('come whole where there is just enough room', () => {
    expect(receive(5, 5)).toMatchObject({ fds: 5, truncated: false, left: 0, next: 5 });
    expect(receive(5, 5)).not.toHaveProperty('code');
  });
});
