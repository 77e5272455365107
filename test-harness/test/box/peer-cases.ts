import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type DeviceProfile,
  deviceComplianceCases,
  Sockets,
} from '@node-vmm/vhost-user-backend/testing';
import { VhostUserRelay } from './vhost-user-relay.ts';

/** How long a case may wait for what never comes. */
const PATIENCE_MS = 3000;
/** Daemons whose threads race with each other pass a case now and not then. */
const ATTEMPTS = 3;

/** What became of a case. */
export interface PeerOutcome {
  /** `section: name` of the case. */
  readonly name: string;
  /** In how many of the attempts. */
  readonly passed: 'always' | 'sometimes' | 'never';
  /** Of the last attempt that failed: `no answer`, or the first line of what it threw. */
  readonly failure: string | undefined;
}

/**
 * Runs the suite for devices on a daemon that is not made with our libraries, each case on a process of
 * its own. A relay stands in front: a daemon whose socket is gone for a moment between two front-ends,
 * as those of rust-vmm have it, is waited for.
 *
 * @param command - the daemon, to which `--socket-path` is added
 */
export async function runPeerCases(
  command: readonly string[],
  profile: DeviceProfile,
): Promise<readonly PeerOutcome[]> {
  const outcomes: PeerOutcome[] = [];
  for (const each of deviceComplianceCases) {
    const failures: string[] = [];
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const failure = await runCase(command, profile, each);
      if (failure !== undefined) failures.push(failure);
    }
    const passed = failures.length === 0 ? 'always' : 'sometimes';
    outcomes.push({
      name: `${each.section}: ${each.name}`,
      passed: failures.length === ATTEMPTS ? 'never' : passed,
      failure: failures.at(-1),
    });
  }
  return outcomes;
}

/** @returns why it failed, undefined when it passed */
async function runCase(
  command: readonly string[],
  profile: DeviceProfile,
  { run }: (typeof deviceComplianceCases)[number],
): Promise<string | undefined> {
  const sockets = new Sockets();
  const path = sockets.path();
  const child = start([...command, '--socket-path', path]);
  const socketPath = sockets.path();
  const relay = new VhostUserRelay(`${path}0`, socketPath);
  let timer: NodeJS.Timeout | undefined;
  try {
    while (!existsSync(`${path}0`) && child.exitCode === null) await sleep(20);
    const over = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve('no answer'), PATIENCE_MS);
    });
    const subject = { ...profile, socketPath, pid: child.pid ?? -1 };
    const done = (async () => run(subject))().then(
      () => undefined,
      (error: Error) => error.message.split('\n')[0] ?? '',
    );
    return await Promise.race([done, over]);
  } finally {
    clearTimeout(timer);
    relay[Symbol.dispose]();
    await end(child);
    sockets.close();
  }
}

function start([program = '', ...args]: readonly string[]): ChildProcess {
  return spawn(program, args, { stdio: 'ignore' });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
