import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { FixtureProcess } from '../support/fixture-process.ts';

const EARLY = fileURLToPath(new URL('../fixtures/early-signal.mjs', import.meta.url));

let program: FixtureProcess | undefined;
afterEach(() => program?.child.kill('SIGKILL'));

async function start(...args: string[]): Promise<FixtureProcess> {
  program = new FixtureProcess(args).readStderr();
  await program.serves();
  return program;
}

async function refused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => resolve(true));
    socket.on('connect', () => {
      socket.destroy();
      resolve(false);
    });
  });
}

/** Ports that a process says that it opened for a debugger. */
function ports({ stderr }: FixtureProcess): number[] {
  const said = stderr.matchAll(/Debugger listening on ws:\/\/127\.0\.0\.1:(\d+)\//g);
  return [...said].map(([, port]) => Number(port));
}

/** Waits until none of them is open: Node may open one again that has just been closed. */
async function allClosed(process: FixtureProcess): Promise<void> {
  for (;;) {
    const closed = await Promise.all(ports(process).map(refused));
    if (closed.every((one) => one)) return;
    await delay(20);
  }
}

describe('SIGUSR1', () => {
  it('prints the status as one line of JSON, whatever the level, and opens no port', async () => {
    const silent = await start('serve', '', 'silent');
    silent.child.kill('SIGUSR1');
    await silent.until(() => silent.stderr.includes('\n'));
    silent.child.kill('SIGUSR1');
    await silent.until(() => silent.stderr.split('\n').length > 2);
    for (const line of silent.stderr.trimEnd().split('\n')) {
      expect(JSON.parse(line)).toMatchObject({ msg: 'status', status: { answer: 42 } });
    }
  });

  it('that came before the program was loaded is answered, and its port is closed', async () => {
    const node = ['--import', EARLY, '--inspect-port=0'];
    const early = new FixtureProcess(['serve'], 'pipe', node).readStderr();
    program = early;
    await early.until(() => early.stderr.includes('"status"'));
    expect(ports(early)).not.toEqual([]);
    await allClosed(early);
    expect(early.stderr.match(/"msg":"status"/g)).toHaveLength(1);
    await early.serves();
  });

  it('leaves a port alone that the user asked for', async () => {
    const asked = new FixtureProcess(['serve'], 'pipe', ['--inspect=0']).readStderr();
    program = asked;
    await asked.serves();
    await asked.until(() => ports(asked).length > 0);
    const [port = 0] = ports(asked);
    expect(await refused(port)).toBe(false);
  });

  it.each([20, 40, 80])('%i ms after the start leaves no port open', async (after) => {
    const early = new FixtureProcess(['serve'], 'pipe', ['--inspect-port=0']).readStderr();
    program = early;
    setTimeout(() => early.child.kill('SIGUSR1'), after);
    await Promise.race([
      early.until(() => early.stderr.includes('"status"')),
      // Before Node does anything with signals the kernel's meaning holds.
      early.exit.then((exit) => expect(exit).toEqual({ code: null, signal: 'SIGUSR1' })),
    ]);
    await allClosed(early);
  });
});

describe('signals that end the program', () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('%s ends it with 0', async (signal) => {
    const running = await start('serve');
    expect(await running.end(signal)).toEqual({ code: 0, signal: null });
  });

  it('SIGHUP after SIGTERM is the same wish; a later SIGINT ends at once with 1', async () => {
    const hanging = await start('hang');
    hanging.child.kill('SIGTERM');
    hanging.child.kill('SIGINT');
    await new Promise((resolve) => setTimeout(resolve, 1100));
    hanging.child.kill('SIGHUP');
    await hanging.serves();
    // The second in which all is one wish begins when the program sees the first signal, perhaps late.
    const again = setInterval(() => hanging.child.kill('SIGINT'), 100);
    expect(await hanging.exit).toEqual({ code: 1, signal: null });
    clearInterval(again);
    expect(hanging.stderr).toContain('fixture: SIGINT for the second time: ending at once\n');
  });
});
