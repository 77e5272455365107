import { afterEach, describe, expect, it, vi } from 'vitest';
import { LogWriter } from '../../src/log-writer.ts';
import type { Output } from '../../src/output.ts';

/** An output with so much room. */
class FakeOutput implements Output {
  text = '';
  room = Number.POSITIVE_INFINITY;
  error: Error | undefined;
  closed = false;

  write(data: Uint8Array): number {
    if (this.error !== undefined) throw this.error;
    const taken = Math.min(data.length, this.room);
    this.room -= taken;
    this.text += Buffer.from(data.subarray(0, taken)).toString();
    return taken;
  }

  close(): void {
    this.closed = true;
  }
}

afterEach(() => vi.useRealTimers());

describe('LogWriter', () => {
  it('writes at once while there is room', () => {
    const output = new FakeOutput();
    new LogWriter(output).write('a\n');
    expect(output.text).toBe('a\n');
  });

  it('goes on in the middle of a line, in order, when there is room again', () => {
    vi.useFakeTimers();
    const output = new FakeOutput();
    const writer = new LogWriter(output);
    output.room = 5;
    for (const line of ['first\n', 'second\n', 'third\n']) writer.write(line);
    expect(output.text).toBe('first');
    expect(writer.waiting).toBe('\nsecond\nthird\n'.length);
    output.room = 3;
    vi.advanceTimersByTime(100);
    expect(output.text).toBe('first\nse');
    output.room = Number.POSITIVE_INFINITY;
    vi.advanceTimersByTime(100);
    expect(output.text).toBe('first\nsecond\nthird\n');
    expect(writer.waiting).toBe(0);
  });

  it('drops what is over its bound, and says so where it is missing', () => {
    vi.useFakeTimers();
    const output = new FakeOutput();
    const writer: LogWriter = new LogWriter(output, {
      maxBytes: 10,
      onDropped: (lines) => writer.write(`${lines} dropped\n`),
    });
    output.room = 0;
    // The last one would fit, but not in its place.
    for (const line of ['123\n', '456\n', '7890\n', '8\n']) writer.write(line);
    expect(writer.waiting).toBe(8);
    output.room = Number.POSITIVE_INFINITY;
    vi.advanceTimersByTime(100);
    writer.write('9\n');
    expect(output.text).toBe('123\n456\n2 dropped\n9\n');
  });

  it('survives an error, and tries again', () => {
    vi.useFakeTimers();
    const output = new FakeOutput();
    const writer = new LogWriter(output);
    output.error = new Error('ENOSPC');
    writer.write('a\n');
    writer.flush(1_000_000);
    expect(writer.waiting).toBe(2);
    output.error = undefined;
    vi.advanceTimersByTime(1000);
    expect(output.text).toBe('a\n');
  });

  it('gives up flushing at its deadline', () => {
    const output = new FakeOutput();
    const writer = new LogWriter(output);
    output.room = 1;
    writer.write('abc\n');
    writer.flush(20);
    expect(output.text).toBe('a');
    output.room = 10;
    writer.flush(20);
    expect(output.text).toBe('abc\n');
    writer.close();
    expect(output.closed).toBe(true);
  });
});
