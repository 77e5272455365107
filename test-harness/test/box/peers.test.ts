import { ok } from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import type { DeviceProfile } from '@node-vmm/vhost-user-backend/testing';
import { describe, expect, it } from 'vitest';
import { vhostDeviceRngPath } from '../../src/box/index.ts';
import { type PeerOutcome, runPeerCases } from './peer-cases.ts';
import { LATER, soak } from './scale.ts';

// What other people's daemons make of the suite that ours pass in `test/compliance` of their packages:
// docs/peers.md, which this holds to the truth. `NODE_VMM_WRITE=1` writes its table anew. That it names every
// case is looked at in every run, by test/peers-page.test.ts.
const RNG: DeviceProfile = {
  features: 0n,
  queues: 1,
  configSize: 0,
  // A device may give less than there is room for (§5.4.6).
  probe: {
    queue: 0,
    readable: [],
    writable: [64],
    check: ([bytes]) => ok((bytes?.length ?? 0) > 0),
  },
};
const PAGE = new URL('../../../docs/peers.md', import.meta.url);
const TABLE_HEAD = '| case | result | seen |\n| --- | --- | --- |\n';

const RESULTS = { always: 'passes', sometimes: 'sometimes', never: 'fails' } as const;

/** The page with a new table at its end. */
function rewritten(page: string, outcomes: readonly PeerOutcome[]): string {
  const rows = outcomes.map(({ name, passed, failure }) => {
    const seen = (failure ?? '').replaceAll('|', '\\|').replaceAll(/\/tmp\/\S+/g, 'SOCKET');
    return `| ${name} | ${RESULTS[passed]} | ${seen} |\n`;
  });
  return page.slice(0, page.lastIndexOf('\n\n|') + 2) + TABLE_HEAD + rows.join('');
}

const program = vhostDeviceRngPath();
const why = !soak
  ? LATER
  : program === undefined
    ? ' (skipped, unavailable: no vhost-device-rng of Rust, see box:setup)'
    : '';

describe.skipIf(why !== '')(`vhost-device-rng of rust-vmm in our suite${why}`, () => {
  it('passes what docs/peers.md says', async () => {
    const outcomes = await runPeerCases([program ?? ''], RNG);
    if (process.env['NODE_VMM_WRITE'] === '1') {
      writeFileSync(PAGE, rewritten(readFileSync(PAGE, 'utf8'), outcomes));
    }
    const page = readFileSync(PAGE, 'utf8');
    const told = [...page.matchAll(/^\| (.*?) +\| (passes|sometimes|fails) /gm)];
    expect(outcomes.map(({ name }) => name)).toEqual(told.map(([, name]) => name));
    const passed = new Set(outcomes.filter((it) => it.passed !== 'never').map(({ name }) => name));
    const lost = told.filter(([, name = '', result]) => result === 'passes' && !passed.has(name));
    expect(lost).toEqual([]);
  }, 1_800_000);
});
