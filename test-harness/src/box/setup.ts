import { join } from 'node:path';
import type { Artefact } from './artefact.ts';
import {
  ABI_HEADERS,
  DEVICE_MODELS,
  GUEST_NODE,
  NEWEST_QEMU,
  SYSTEMD_ROOT,
  vhostDeviceRng,
  vhostDeviceRngXen,
  vhostDeviceScmi,
} from './artefacts/index.ts';
import { artefactsOf, type Bed } from './bed.ts';
import { allBeds } from './beds.ts';
import { pruneCache } from './cache.ts';
import { DebianArchive } from './debian-archive.ts';
import { BoxError } from './errors.ts';
import { missingHostPackages } from './host-tools.ts';
import { takeLock } from './lock.ts';
import { rememberOwnXen } from './own-bed.ts';
import { cacheRoot } from './paths.ts';
import { Progress } from './progress.ts';
import { type SetupReport, writeSetupReport } from './setup-report.ts';
import { type Outcome, Workshop } from './workshop.ts';

/** What to set up. */
export interface SetupOptions {
  /** Names of artefacts to make even if they are in the cache; by default none. */
  readonly rebuild?: readonly string[];
  /** A hypervisor of one's own: arm64 binary or source tree. */
  readonly xen?: string;
  /** Unpacked root with the tools of that hypervisor's series. */
  readonly tools?: string;
}

/** What is made besides the beds. */
const OTHERS: readonly Artefact[] = [
  ...Object.values(ABI_HEADERS),
  ...Object.values(DEVICE_MODELS),
  GUEST_NODE,
  NEWEST_QEMU,
  SYSTEMD_ROOT,
  vhostDeviceRng,
  vhostDeviceRngXen,
  vhostDeviceScmi,
];

function withNeeds(artefacts: readonly Artefact[]): Artefact[] {
  const all = new Set<Artefact>();
  const add = (artefact: Artefact): void => {
    for (const needed of artefact.needs ?? []) add(needed);
    all.add(artefact);
  };
  for (const artefact of artefacts) add(artefact);
  return [...all];
}

/** What is made whenever it is missing; what those need is made on the way. */
function wanted(beds: readonly Bed[]): Artefact[] {
  return [...new Set([...beds.flatMap(artefactsOf), ...OTHERS])];
}

/** Everything that setup may make, what others need first. */
export function allArtefacts(beds: readonly Bed[] = allBeds()): Artefact[] {
  return withNeeds(wanted(beds));
}

/**
 * Makes what the box needs and is not in the cache yet. The packages of this machine are there already:
 * `scripts/box.mjs` sees to them, since nothing else needs root. May be run again at any time, also by
 * two processes at once. A bed that cannot be had is told and left out.
 *
 * @throws {BoxError} `MISSING_TOOL`; `BAD_OPTION`; `NOT_AVAILABLE` when no bed at all is there
 */
export async function setupBox(options: SetupOptions = {}): Promise<SetupReport> {
  const { rebuild = [], xen, tools } = options;
  const progress = new Progress();
  const root = cacheRoot();
  const release = await takeLock(join(root, 'setup.lock'), (pid) => {
    progress.say(`waiting for another setup (process ${pid})`);
  });
  try {
    if (xen !== undefined) rememberOwnXen(xen, tools);
    else if (tools !== undefined)
      throw new BoxError('BAD_OPTION', 'Cannot use --tools without --xen');
    const beds = allBeds();
    const artefacts = allArtefacts(beds);
    const unknown = rebuild.filter((name) => !artefacts.some((artefact) => artefact.name === name));
    if (unknown.length > 0) {
      throw new BoxError('BAD_OPTION', `Cannot rebuild ${unknown.join(', ')}: no such artefact`);
    }
    requireHostPackages();
    const debian = new DebianArchive({ log: join(root, 'logs', 'apt.log') });
    const workshop = new Workshop(debian, progress, rebuild);
    await Promise.all(wanted(beds).map((artefact) => workshop.make(artefact)));
    for (const name of pruneCache(artefacts)) progress.say(`${name}: unused for a month, removed`);
    const report = await reportOf(beds, workshop);
    writeSetupReport(report);
    for (const [name, { state, reason }] of Object.entries(report.beds)) {
      progress.say(`bed ${name.padEnd(12)} ${state}${reason === '' ? '' : `: ${reason}`}`);
    }
    if (!Object.values(report.beds).some(({ state }) => state === 'ready')) {
      throw new BoxError('NOT_AVAILABLE', 'Cannot set up the box: there is no bed, see above');
    }
    progress.say(`The box is ready; its files are in ${root}`);
    return report;
  } finally {
    release();
  }
}

async function reportOf(all: readonly Bed[], workshop: Workshop): Promise<SetupReport> {
  const beds: Record<string, Outcome> = {};
  for (const bed of all) {
    const parts = await Promise.all(artefactsOf(bed).map((artefact) => workshop.make(artefact)));
    const missing = parts.filter(({ state }) => state !== 'ready');
    // What we did wrong is told before what nobody here can help.
    const worst = missing.find(({ state }) => state === 'failed') ?? missing[0];
    beds[bed.name] = worst ?? { state: 'ready', reason: '' };
  }
  const missing: Record<string, Outcome> = {};
  for (const artefact of wanted(all)) {
    const outcome = await workshop.make(artefact);
    if (outcome.state !== 'ready') missing[artefact.name] = outcome;
  }
  return { beds, missing };
}

function requireHostPackages(): void {
  const missing = missingHostPackages();
  if (missing.length === 0) return;
  throw new BoxError(
    'MISSING_TOOL',
    `Cannot set up the box: this machine lacks ${missing.join(', ')}; run \`npm run box:setup\``,
  );
}
