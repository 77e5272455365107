// Gets a checkout from `git clone` to "everything built" with nothing but Node and npm, and costs
// under a second when there is nothing to do.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build-packages.mjs';
import { invoker } from './invoker.mjs';
import { placeCommands } from './placeholders.mjs';
import { env, run, tryRun } from './run.mjs';
import { root, workspacePackages } from './workspace.mjs';

export { env, root, run };

const stampFile = join(root, 'node_modules', '.node-vmm-installed');

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

async function install() {
  const wanted = inputsHash();
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === wanted) return;
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  console.log(`Installing dependencies (${packageManager}, first time or after a change) ...`);
  placeCommands();
  // What is in the caches of npm and pnpm is not asked for again: it works without a network, too. The lock
  // file is kept as it is, but for a package or dependency that is new; on CI machines pnpm refuses those.
  const options = ['--prefer-offline', '--reporter=append-only'];
  const args = ['--yes', '--prefer-offline', packageManager, 'install', ...options];
  const status = await tryRun('npx', args, { group: true });
  if (status !== 0) {
    console.error(`Cannot install the dependencies: ${packageManager} ended with ${status}`);
    process.exit(1);
  }
  const now = inputsHash();
  if (now !== wanted) console.log('pnpm-lock.yaml has got what is new: commit it, too');
  writeFileSync(stampFile, now);
}

/** Under sudo the whole script is run by the user who called it: nothing here needs root. */
async function becomeInvoker() {
  const user = invokerOrEnd();
  if (user === undefined) return;
  console.log(`This needs no root: going on as ${user.name}`);
  await run(process.execPath, process.argv.slice(1), { user, cwd: process.cwd() });
  process.exit(0);
}

/** As `invoker`, but ends this process where that throws. */
export function invokerOrEnd() {
  try {
    return invoker();
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}

/**
 * Installs and builds what is missing or out of date.
 *
 * @param {readonly string[]} options of turbo
 */
export async function bootstrap(options = []) {
  await becomeInvoker();
  await install();
  await build(options);
}
