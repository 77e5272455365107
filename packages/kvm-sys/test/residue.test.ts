import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Code, SHOW_MMIO, SPIN } from './fixtures/code.ts';
import { MEMORY_NAME, TestGuest, unavailable } from './fixtures/test-guest.ts';

const ROUNDS = 200;
/** Half of them at the same time as another one. */
const TOGETHER = 2;
const CODE: Code = [...SHOW_MMIO, ['c606100011', 'mov byte [0x10], 0x11'], ...SPIN];

/** What a process has of KVM's and of ours, by what /proc says. */
function residue(): Record<'descriptors' | 'ofKvm' | 'threads' | 'mappings', number> {
  const links = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      // The one by which the directory was read.
      return [];
    }
  });
  const maps = readFileSync('/proc/self/maps', 'latin1').split('\n');
  return {
    descriptors: links.length,
    ofKvm: links.filter((link) => link.includes('kvm')).length,
    threads: readdirSync('/proc/self/task').length,
    mappings: maps.filter((line) => line.includes('kvm-vcpu') || line.includes(MEMORY_NAME)).length,
  };
}

async function startAndStop(): Promise<void> {
  const guest = new TestGuest({ code: CODE });
  try {
    const running = guest.run();
    await expect.poll(() => running.accesses, { interval: 10 }).toHaveLength(1);
    expect(residue()).toMatchObject({ ofKvm: expect.toSatisfy((n: number) => n >= 3) });
    expect(residue().mappings).toBeGreaterThanOrEqual(2);
  } finally {
    await guest.close();
  }
}

describe.skipIf(unavailable)(`starts and stops ${unavailable ?? 'on /dev/kvm'}`, () => {
  it(`leave nothing behind, ${ROUNDS} times`, { timeout: 400_000 }, async () => {
    // What Node makes once, such as the pipes of the first Worker.
    await Promise.all(Array.from({ length: TOGETHER }, startAndStop));
    const before = residue();
    expect(before).toMatchObject({ ofKvm: 0, mappings: 0 });
    for (let round = 0; round < ROUNDS; round += TOGETHER) {
      await Promise.all(Array.from({ length: TOGETHER }, startAndStop));
    }
    await expect.poll(residue).toEqual(before);
  });
});
