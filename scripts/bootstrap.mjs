// Gets a checkout from `git clone` to "everything built" with nothing but Node and npm, and costs
// under a second when there is nothing to do.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { root, workspacePackages } from './workspace.mjs';

export { root };

const bin = join(root, 'node_modules', '.bin');
const stampFile = join(root, 'node_modules', '.node-vmm-installed');

export const env = {
  ...process.env,
  PATH: `${bin}${delimiter}${process.env.PATH}`,
  TURBO_TELEMETRY_DISABLED: '1',
};

/** Runs a program with our tools on its PATH and ends this process when it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', env, ...options });
  if (result.error) {
    console.error(`Cannot run ${command}: ${result.error.message}`);
    process.exit(1);
  }
  if (result.status !== 0) process.exit(result.status ?? 1);
}

function inputsHash() {
  const hash = createHash('sha256');
  for (const file of [
    join(root, 'pnpm-lock.yaml'),
    join(root, 'pnpm-workspace.yaml'),
    ...[root, ...workspacePackages().map(({ directory }) => directory)].map((directory) =>
      join(directory, 'package.json'),
    ),
  ]) {
    hash.update(readFileSync(file));
  }
  return hash.digest('hex');
}

function install() {
  const wanted = inputsHash();
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === wanted) return;
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  console.log(`Installing dependencies (${packageManager}, first time or after a change) ...`);
  // What is in the caches of npm and pnpm is not asked for again: it works without a network, too.
  const options = ['--frozen-lockfile', '--prefer-offline', '--reporter=append-only'];
  run('npx', ['--yes', '--prefer-offline', packageManager, 'install', ...options]);
  writeFileSync(stampFile, wanted);
}

function build() {
  const started = Date.now();
  run(
    'turbo',
    ['run', 'build', '--output-logs=errors-only', '--no-update-notifier', '--ui=stream'],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  const seconds = (Date.now() - started) / 1000;
  if (seconds > 2) console.log(`Built in ${seconds.toFixed(1)} s`);
}

/** Installs and builds what is missing or out of date. */
export function bootstrap() {
  install();
  build();
}
