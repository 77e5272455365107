import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { DaemonProgram } from '../daemon-program.ts';
import { addProbes } from './rings.ts';
import { connect, type ProgramCase, type ProgramSubject, probe, serves } from './subject.ts';

const CONVENTIONS = 'Backend program conventions';
/** What the daemons of vhost-device-cli keep beyond the specification: its README. */
const EXIT_CODES = 'vhost-device-cli: Exit codes';

function run({ main, args = [] }: ProgramSubject, ...more: string[]) {
  return DaemonProgram.run(main, [...args, ...more]);
}

/** Command lines that are wrong whatever the device is. */
const WRONG: Readonly<Record<string, readonly string[]>> = {
  'an option that does not exist': ['--socket-path', '/tmp/x', '--no-such-option'],
  'an operand': ['--socket-path', '/tmp/x', 'operand'],
  'no socket path': [],
  'an empty socket path': ['--socket-path', ''],
  'a socket path that is too long': ['--socket-path', `/tmp/${'x'.repeat(120)}`],
  'a socket path and a descriptor': ['--socket-path', '/tmp/x', '--fd', '3'],
  'a descriptor that is none': ['--fd', 'x'],
  'no sockets': ['--socket-path', '/tmp/x', '--socket-count', '0'],
  'a count that is none': ['--socket-path', '/tmp/x', '--socket-count', '1x'],
};

/** How a daemon's program behaves. */
export const programCases: readonly ProgramCase[] = [
  ...Object.entries(WRONG).map(
    ([name, args]): ProgramCase => ({
      section: EXIT_CODES,
      name: `${name} ends with 2 and one line that points to --help`,
      async run(subject) {
        const { code, stdout, stderr } = await run(subject, ...args);
        match(stderr, /^[^\n]+--help[^\n]*\n$/);
        deepEqual({ code, stdout }, { code: 2, stdout: '' });
      },
    }),
  ),
  {
    section: CONVENTIONS,
    name: 'what cannot be opened ends with 1 and one line',
    async run(subject) {
      const path = '/nonexistent/directory/socket';
      const { code, stdout, stderr } = await run(subject, '--socket-path', path);
      match(stderr, /^[^\n]+\/nonexistent\/directory[^\n]*\n$/);
      deepEqual({ code, stdout }, { code: 1, stdout: '' });
    },
  },
  {
    section: CONVENTIONS,
    name: '--print-capabilities prints what it is as JSON and ends with 0, whatever else is asked',
    async run(subject) {
      const wrong = ['--no-such-option', '--socket-path', '/nonexistent/directory/socket'];
      const { code, stdout, stderr } = await run(subject, ...wrong, '--print-capabilities');
      deepEqual({ code, stderr }, { code: 0, stderr: '' });
      const { type, features } = JSON.parse(stdout) as Record<string, unknown>;
      match(String(type), /^[a-z0-9-]+$/);
      ok(Array.isArray(features), 'features are no list');
    },
  },
  {
    section: CONVENTIONS,
    name: 'the socket is where --socket-path says',
    async run(subject) {
      const { main, args = [], profile } = subject;
      await using daemon = await DaemonProgram.startAt(main, args);
      await serves({ ...profile, socketPath: daemon.exactPath });
    },
  },
  {
    section: EXIT_CODES,
    name: '--help and --version are printed and end with 0',
    async run(subject) {
      const help = await run(subject, '--help');
      deepEqual({ code: help.code, stderr: help.stderr }, { code: 0, stderr: '' });
      match(help.stdout, /--socket-path/);
      const version = await run(subject, '--version');
      deepEqual({ code: version.code, stderr: version.stderr }, { code: 0, stderr: '' });
      match(version.stdout, /^\d+\.\d+\.\d+/);
    },
  },
  ...(['SIGTERM', 'SIGINT'] as const).map(
    (signal): ProgramCase => ({
      section: CONVENTIONS,
      name: `${signal} ends it with 0 and removes its sockets, with requests in flight as well`,
      async run(subject) {
        const { profile } = subject;
        await using daemon = await DaemonProgram.start(subject, 2);
        await using bench = await connect({ ...profile, socketPath: daemon.socketPath(0) });
        await probe(bench, profile);
        addProbes(bench, profile, 8);
        bench.queue(profile.probe.queue).publish();
        daemon.kill(signal);
        deepEqual(await daemon.exit, { code: 0, signal: null });
        for (const index of [0, 1]) ok(!existsSync(daemon.socketPath(index)), 'a socket is left');
        equal(await bench.frontend.closed, 'peer-closed');
      },
    }),
  ),
  {
    section: 'Communication',
    name: 'a guest that breaks its ring disturbs no other guest',
    async run(subject) {
      const { profile } = subject;
      await using daemon = await DaemonProgram.start(subject, 2);
      await using victim = await connect({ ...profile, socketPath: daemon.socketPath(0) });
      await using enemy = await connect({ ...profile, socketPath: daemon.socketPath(1) });
      for (const queue of enemy.queues) {
        queue.ring.driver.raw.availIndex = 40_000;
        queue.ring.kick.signal();
      }
      for (let i = 0; i < 20; i++) await probe(victim, profile);
      await enemy.close();
      await serves({ ...profile, socketPath: daemon.socketPath(1) });
      await probe(victim, profile);
    },
  },
];
