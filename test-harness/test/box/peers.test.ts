import { ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { DeviceProfile } from '@node-vmm/vhost-user-backend/testing';
import { describe, expect, it } from 'vitest';
import { vhostDeviceRngPath } from '../../src/box/index.ts';
import { runPeerCases } from './peer-cases.ts';
import { LATER, soak } from './scale.ts';

// What other people's daemons make of the suite that ours pass in `test/compliance` of their packages:
// docs/peers.md, which this holds to the truth.
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
const program = vhostDeviceRngPath();
const why = !soak
  ? LATER
  : program === undefined
    ? ' (skipped, unavailable: no vhost-device-rng of Rust, see box:setup)'
    : '';

describe.skipIf(why !== '')(`vhost-device-rng of rust-vmm in our suite${why}`, () => {
  it('passes what docs/peers.md says', async () => {
    const outcomes = await runPeerCases([program ?? ''], RNG);
    const page = readFileSync(new URL('../../../docs/peers.md', import.meta.url), 'utf8');
    const told = [...page.matchAll(/^\| (.*?) +\| (passes|fails) /gm)];
    expect(outcomes.map(({ name }) => name)).toEqual(told.map(([, name]) => name));
    const passed = new Set(
      outcomes.filter((it) => it.failure === undefined).map(({ name }) => name),
    );
    const lost = told.filter(([, name = '', result]) => result === 'passes' && !passed.has(name));
    expect(lost).toEqual([]);
  }, 900_000);
});
