import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Fifo, FixtureProcess } from '../support/fixture-process.ts';

// Far more than a pipe holds and the writer keeps.
const LINES = 30_000;
const ENDED = { code: 0, signal: null };

let program: FixtureProcess | undefined;
afterEach(() => program?.child.kill('SIGKILL'));

interface Line {
  readonly i?: number;
  readonly dropped?: number;
}

/** Holds that the lines are whole and in order, and that those that are not there were counted. */
function expectAllAccountedFor(text: string): void {
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  const written = lines.filter(({ i }) => i !== undefined);
  expect(written.map(({ i }) => i)).toEqual(written.map((_, index) => index));
  const notes = lines.filter(({ dropped }) => dropped !== undefined);
  expect(notes).toEqual([
    expect.objectContaining({
      dropped: LINES - written.length,
      msg: `${LINES - written.length} log lines dropped`,
    }),
  ]);
  expect(written.length).toBeLessThan(LINES);
}

describe('a reader of the log that stalls', () => {
  it('on a pipe stops nothing, and hears how much was dropped when it goes on', async () => {
    using pipe = new Fifo();
    program = new FixtureProcess(['flood', String(LINES)], pipe.writer);
    await program.serves();
    let text = '';
    while (!text.includes('log lines dropped')) {
      text += pipe.read();
      await delay(20);
    }
    expectAllAccountedFor(text);
    expect(await program.end()).toEqual(ENDED);
  });

  it('on a socket stops nothing, and hears how much was dropped when it goes on', async () => {
    program = new FixtureProcess(['flood', String(LINES)]);
    await program.serves();
    const { readStderr } = program;
    readStderr.call(program);
    await program.until(() => program?.stderr.includes('log lines dropped') === true);
    expectAllAccountedFor(program.stderr);
    expect(await program.end()).toEqual(ENDED);
  });

  it('on a pipe keeps nobody from ending, and the shared description stays blocking', async () => {
    using pipe = new Fifo();
    program = new FixtureProcess(['flood', String(LINES)], pipe.writer);
    await program.serves();
    const info = readFileSync(`/proc/${program.child.pid}/fdinfo/2`, 'utf8');
    const flags = Number.parseInt(/^flags:\s*([0-7]+)$/m.exec(info)?.[1] ?? '', 8);
    expect(flags & 0o4000).toBe(0);
    expect(await program.end()).toEqual(ENDED);
  });

  it('on a socket keeps nobody from ending', async () => {
    program = new FixtureProcess(['flood', String(LINES)]);
    await program.serves();
    expect(await program.end()).toEqual(ENDED);
  });

  it('does not keep a program that met an unexpected error from ending with 1', async () => {
    using pipe = new Fifo();
    program = new FixtureProcess(['throw'], pipe.writer);
    expect(await program.exit).toEqual({ code: 1, signal: null });
    expect(pipe.read()).toMatch(/^fixture: SyntaxError: .*\n {4}at /m);
  });
});

describe('a log that cannot be written', () => {
  it('on a full disk stops nothing', async () => {
    const full = openSync('/dev/full', 'w');
    program = new FixtureProcess(['flood', '10'], full);
    closeSync(full);
    await program.serves();
    expect(await program.end()).toEqual(ENDED);
  });

  it('in a pipe without a reader stops nothing, and is written when there is one again', async () => {
    using pipe = new Fifo();
    program = new FixtureProcess(['flood', '10'], pipe.writer);
    await program.serves();
    expect(pipe.read().split('\n')).toHaveLength(10 + 1);
    pipe.closeReader();
    program.child.kill('SIGUSR1');
    await program.serves();
    pipe.open();
    let text = '';
    while (!text.includes('\n')) {
      text += pipe.read();
      await delay(20);
    }
    expect(JSON.parse(text)).toMatchObject({ msg: 'status', status: { answer: 42 } });
    expect(await program.end()).toEqual(ENDED);
  });

  it('in a pipe that has no reader from the start stops nothing', async () => {
    using pipe = new Fifo();
    pipe.closeReader();
    program = new FixtureProcess(['flood', '10'], pipe.writer);
    await program.serves();
    expect(await program.end()).toEqual(ENDED);
  });

  it('as a closed socket stops nothing', async () => {
    program = new FixtureProcess(['flood', '10']);
    program.child.stderr?.destroy();
    await program.serves();
    expect(await program.end()).toEqual(ENDED);
  });
});
