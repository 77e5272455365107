import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectDevice, DaemonProgram } from '@node-vmm/vhost-user-backend/testing';
import { expect, it, vi } from 'vitest';

const main = new URL('../../dist/main.js', import.meta.url);

it('gives each guest its quota, however many there are', async () => {
  await using daemon = await DaemonProgram.start({ main, args: ['-m', '48', '-p', '60000'] }, 64);
  for (const index of [0, 1, 63]) {
    await using bench = await connectDevice({ socketPath: daemon.socketPath(index) });
    const [bytes] = await bench.queue(0).request([], [64]);
    expect(bytes?.length).toBe(48);
  }
  expect(await daemon.stop()).toEqual({ code: 0, signal: null });
  expect(daemon.stderr).toContain('"maxBytes":48');
});

it('gives no byte of a file to two guests, and outlives its end', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'rng-'));
  const file = join(directory, 'file');
  writeFileSync(file, 'abcdefgh');
  try {
    await using daemon = await DaemonProgram.start({ main, args: ['-f', file] }, 2);
    const texts: string[] = [];
    for (const index of [0, 1]) {
      await using bench = await connectDevice({ socketPath: daemon.socketPath(index) });
      const [bytes] = await bench.queue(0).request([], [4]);
      texts.push(Buffer.from(bytes ?? []).toString());
    }
    expect(texts).toEqual(['abcd', 'efgh']);
    await using bench = await connectDevice({ socketPath: daemon.socketPath(0) });
    const late = bench.queue(0).request([], [4]);
    await vi.waitFor(() => expect(daemon.stderr).toContain('"code":"SOURCE_ENDED"'), {
      timeout: 45_000,
    });
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    await expect(late).rejects.toThrow();
  } finally {
    rmSync(directory, { recursive: true });
  }
});

it('says what is wrong with a source, in one line', async () => {
  const { code, stderr } = await DaemonProgram.run(main, ['-s', '/tmp/x', '-f', '/nowhere']);
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^vhost-device-rng: .*\/nowhere: it does not exist; choose another --rng-source\n$/,
  );
});

it('ends with 1 and one line for a source below a file', async () => {
  const { code, stderr } = await DaemonProgram.run(main, ['-s', '/tmp/x', '-f', '/etc/passwd/x']);
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^vhost-device-rng: .*: what should be a directory on its way is none; .*\n$/,
  );
});
