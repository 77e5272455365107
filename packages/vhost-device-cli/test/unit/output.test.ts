import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openOutput } from '../../src/output.ts';
import { Fifo } from '../support/fixture-process.ts';

const CHUNK = Buffer.alloc(8192, 'x');

describe('openOutput', () => {
  it('fills a pipe and does not wait for it', () => {
    using pipe = new Fifo();
    const output = openOutput(pipe.writer);
    let written = 0;
    for (let n = output.write(CHUNK); n > 0; n = output.write(CHUNK)) written += n;
    expect(written).toBe(65_536);
    expect(pipe.read()).toHaveLength(written);
    expect(output.write(CHUNK)).toBe(CHUNK.length);
    output.close();
  });

  it('does not wait for a pipe that it cannot open anew either', () => {
    using pipe = new Fifo();
    // Nobody reads: opening it for writing without waiting is refused.
    pipe.closeReader();
    const output = openOutput(pipe.writer);
    expect(() => output.write(CHUNK)).toThrow('EPIPE');
    pipe.open();
    let written = 0;
    for (let n = output.write(CHUNK); n > 0; n = output.write(CHUNK)) written += n;
    expect(written).toBe(65_536);
    output.close();
  });

  it('appends to a file', () => {
    const directory = mkdtempSync(join(tmpdir(), 'cli-'));
    const path = join(directory, 'log');
    const output = openOutput(openSync(path, 'a'));
    expect(output.write(Buffer.from('a\n')) + output.write(Buffer.from('b\n'))).toBe(4);
    output.close();
    expect(readFileSync(path, 'utf8')).toBe('a\nb\n');
    rmSync(directory, { recursive: true });
  });
});
