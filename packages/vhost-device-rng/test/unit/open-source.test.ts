import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { RngError } from '../../src/errors.ts';
import { isFile, openSource } from '../../src/open-source.ts';

const directory = mkdtempSync(join(tmpdir(), 'rng-'));
afterAll(() => rmSync(directory, { recursive: true }));
const path = (name: string): string => join(directory, name);

it.each(['getrandom', '/dev/urandom'])('%s is the kernel’s generator', (name) => {
  expect(openSource(name)).toEqual({ kind: 'kernel' });
});

it('opens a file', () => {
  writeFileSync(path('file'), 'abc');
  const source = openSource(path('file'));
  if (source.kind !== 'file') throw new Error('no file');
  expect(source).toMatchObject({ path: path('file'), ends: true });
  const bytes = new Uint8Array(4);
  expect(readSync(source.fd, bytes, 0, 4, null)).toBe(3);
  closeSync(source.fd);
});

it('knows a file, also where there is none', () => {
  expect([path('file'), directory, path('none'), '/etc/passwd/x', 'getrandom'].map(isFile)).toEqual(
    [true, ...[false, false, false, false]],
  );
});

it('opens a FIFO that nobody writes', () => {
  execFileSync('mkfifo', [path('fifo')]);
  const source = openSource(path('fifo'));
  expect(source).toMatchObject({ kind: 'file', ends: false });
  if (source.kind === 'file') closeSync(source.fd);
});

it.each([
  [
    'a file that is not there',
    () => path('none'),
    'it does not exist; choose another --rng-source',
  ],
  ['a directory', () => directory, 'it is a directory; choose another --rng-source'],
  [
    'what is below a file',
    () => '/etc/passwd/x',
    'what should be a directory on its way is none; choose another --rng-source',
  ],
])('refuses %s', (_, name, text) => {
  expect(() => openSource(name())).toThrow(text);
});

it('refuses a socket', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path('socket'), resolve));
  try {
    openSource(path('socket'));
    expect.unreachable();
  } catch (error) {
    expect(RngError.is(error, 'SOURCE_UNUSABLE')).toBe(true);
    expect((error as Error).message).toBe(
      `Cannot open the source ${path('socket')}: it is a socket, or a device that is not there`,
    );
  } finally {
    server.close();
  }
});
