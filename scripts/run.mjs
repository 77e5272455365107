// Runs the programs that the scripts are made of, so that nobody who ends a script leaves one behind.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from './workspace.mjs';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
/** How long a program of a group of its own may take to end when it is told to. */
const PATIENCE_MS = 5000;

export const env = {
  ...process.env,
  PATH: `${join(root, 'node_modules', '.bin')}${delimiter}${process.env.PATH}`,
  TURBO_TELEMETRY_DISABLED: '1',
  // npm's and pnpm's; what is pinned here is not the user's to update.
  npm_config_update_notifier: 'false',
};

function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch {
    // Nobody is left, or it is root's and hears what the terminal says.
  }
}

/**
 * Runs a program with our tools on its PATH. A signal that asks this process to end is passed on, and
 * the program's end is waited for: then this process ends, too.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {object} options as of `spawn`, and:
 * @param {boolean} [options.group] as a group of its own, of which nobody outlives it: for what starts
 * others and needs no terminal
 * @param {NodeJS.Signals} [options.endBy] what is passed on whatever came
 * @param {(line: string) => void} [options.onLine] gets what it writes to standard output
 * @param {ReturnType<typeof import('./invoker.mjs').invoker>} [options.user] who runs it
 * @returns {Promise<number>} its exit status, 128 and more for a signal
 */
export async function tryRun(command, args, options = {}) {
  const { group = false, endBy, onLine, user, ...rest } = options;
  const child = spawn(command, args, {
    cwd: root,
    stdio: [group ? 'ignore' : 'inherit', onLine === undefined ? 'inherit' : 'pipe', 'inherit'],
    env,
    detached: group,
    ...(user === undefined ? {} : { uid: user.uid, gid: user.gid, env: user.env }),
    ...rest,
  });
  let asked;
  let timer;
  const passOn = (name) => {
    asked ??= name;
    if (child.pid === undefined) return;
    signal(group ? -child.pid : child.pid, endBy ?? name);
    if (group) timer ??= setTimeout(() => signal(-child.pid, 'SIGKILL'), PATIENCE_MS);
  };
  for (const name of SIGNALS) process.on(name, passOn);
  if (onLine !== undefined) createInterface({ input: child.stdout }).on('line', onLine);
  const status = await new Promise((resolve) => {
    child.on('error', (error) => {
      console.error(`Cannot run ${command}: ${error.message}`);
      resolve(1);
    });
    child.on('exit', () => {
      if (group && asked !== undefined) signal(-child.pid, 'SIGKILL');
    });
    child.on('close', (code, name) => resolve(code ?? 128 + constants.signals[name]));
  });
  clearTimeout(timer);
  for (const name of SIGNALS) process.off(name, passOn);
  // A builder that was interrupted may call that a success; what was to come after it does not come.
  if (asked !== undefined) process.exit(group ? 128 + constants.signals[asked] : status);
  return status;
}

/** As `tryRun`, but ends this process when the program fails. */
export async function run(command, args, options) {
  const status = await tryRun(command, args, options);
  if (status !== 0) process.exit(status);
}
