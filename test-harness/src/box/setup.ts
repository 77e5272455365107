import { join } from 'node:path';
import { Apt } from './apt.ts';
import { type Artefact, artefactDirectory, buildArtefact, isBuilt } from './artefact.ts';
import { ARTEFACTS } from './artefacts/index.ts';
import { BoxError } from './errors.ts';
import { installHostPackages, missingHostPackages } from './host-tools.ts';
import { takeLock } from './lock.ts';
import { cacheRoot } from './paths.ts';
import { Progress } from './progress.ts';

/** What to set up. */
export interface SetupOptions {
  /** Names of artefacts to make even if they are in the cache; by default none. */
  readonly rebuild?: readonly string[];
}

/**
 * Makes this machine ready for the box: packages through apt, then everything that is not in the
 * cache yet. May be run again at any time, also by two processes at once.
 *
 * @throws {BoxError} `APT_NOT_PERMITTED`, `BUILD_FAILED` with the end of the log, and the like
 */
export async function setupBox(options: SetupOptions = {}): Promise<void> {
  const { rebuild = [] } = options;
  const unknown = rebuild.filter((name) => !ARTEFACTS.some((artefact) => artefact.name === name));
  if (unknown.length > 0) {
    throw new BoxError('BAD_OPTION', `Cannot rebuild ${unknown.join(', ')}: no such artefact`);
  }
  const progress = new Progress();
  const root = cacheRoot();
  const release = await takeLock(join(root, 'setup.lock'), (pid) => {
    progress.say(`waiting for another setup (process ${pid})`);
  });
  try {
    await prepareHost(progress, join(root, 'logs', 'host-packages.log'));
    const apt = new Apt({ log: join(root, 'logs', 'apt.log') });
    for (const artefact of ARTEFACTS) {
      if (isBuilt(artefact) && !rebuild.includes(artefact.name)) {
        progress.say(`${artefact.title}: cached`);
        continue;
      }
      await make(progress, artefact, apt);
    }
    progress.say(`The box is ready; its files are in ${root}`);
  } finally {
    release();
  }
}

async function prepareHost(progress: Progress, log: string): Promise<void> {
  const missing = missingHostPackages();
  if (missing.length === 0) {
    progress.say('Packages of this machine: all there');
    return;
  }
  await progress.step(`Packages of this machine: ${missing.join(' ')}`, (status) =>
    installHostPackages({ log, onLine: status }),
  );
}

async function make(progress: Progress, artefact: Artefact, apt: Apt): Promise<void> {
  const skip = artefact.skipReason?.();
  if (skip !== undefined) {
    progress.say(`${artefact.title}: skipped, ${skip}`);
    return;
  }
  await progress.step(artefact.title, async (status) => {
    let lines = 0;
    await buildArtefact(artefact, apt, (line) => {
      lines += 1;
      status(`${lines} lines of output, last: ${line.trim().slice(0, 60)}`);
    });
  });
  progress.say(`  in ${artefactDirectory(artefact)}`);
}
