import { VhostUserMasterError } from '@node-vmm/vhost-user-master';
import { guestAddress, type ShareableMemory } from '@node-vmm/vm-memory';
import { asFd, silentLogger } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';
import { MemoryGiver, type MemorySharing, type MemoryTaker } from '../../src/memory-sharing.ts';

const MIB = 2 ** 20;
const memoryOf = (...ranges: [number, number][]): ShareableMemory => ({
  sharedRegions: ranges.map(([at, mebibytes]) => ({
    guestAddr: guestAddress(at),
    length: BigInt(mebibytes * MIB),
    fd: asFd(0),
    fdOffset: 0n,
  })),
});
const BANKS = memoryOf([0x4000_0000, 513]);
const TRIAL = memoryOf([0x4000_0000, 4]);
const EXTENTS = memoryOf([0x4000_0000, 500], [0x6000_0000, 1]);
const NAMES = new Map([
  [BANKS, 'banks'],
  [TRIAL, 'trial'],
  [EXTENTS, 'extents'],
]);
const signal = new AbortController().signal;

function refusal(code: 'REQUEST_FAILED' | 'TOO_MANY_REGIONS' | 'TIMEOUT'): VhostUserMasterError {
  return new VhostUserMasterError(code, `Cannot share: ${code}`);
}

/** @param refuses - what is answered to a table that is named so */
function setUp(largest: number | undefined, refuses: Record<string, VhostUserMasterError> = {}) {
  const given: string[] = [];
  const limits: (number | undefined)[] = [];
  // What is asked for is done later, where it is not acknowledged.
  let mapped: number | undefined = 0;
  const taker: MemoryTaker = {
    peerPid: 7,
    setMemTable: async (memory, options) => {
      limits.push(options?.timeoutMs);
      const name = NAMES.get(memory) ?? 'unknown';
      given.push(name);
      const error = refuses[name];
      if (error !== undefined) throw error;
    },
    settled: async () => {
      mapped = largest;
    },
  };
  const sharing: MemorySharing = {
    trial: TRIAL,
    largestOnDemand: 2 * MIB,
    extents: async () => EXTENTS,
    mappings: (pid) =>
      pid === 7 && mapped !== undefined ? { bytes: mapped, largest: mapped } : undefined,
    checkRoom: () => undefined,
  };
  return { given, limits, taker, sharing, logger: silentLogger };
}

describe('MemoryGiver', () => {
  it('gives all there is where nothing is said of holes', async () => {
    const { given, taker, logger } = setUp(0);
    await new MemoryGiver({ memory: BANKS, logger }).give(taker, signal);
    expect(given).toEqual(['banks']);
  });

  it.each([
    ['maps on demand', 2 * MIB],
    ['cannot be looked at', undefined],
  ])('gives banks to a back-end that %s', async (_, largest) => {
    const { given, taker, sharing, logger } = setUp(largest);
    const giver = new MemoryGiver({ memory: BANKS, sharing, logger });
    await giver.give(taker, signal);
    expect(given).toEqual(['trial', 'banks']);
    expect(giver.habit).toBe('unknown');
  });

  it.each([
    ['a minute, however much it is, for one that maps on demand', 2 * MIB, 60_000],
    ['as long as all of it takes, for one that cannot be looked at', undefined, undefined],
  ])('waits %s', async (_, largest, limit) => {
    const { limits, taker, sharing, logger } = setUp(largest);
    const giver = new MemoryGiver({ memory: memoryOf([0x4000_0000, 2 ** 20]), sharing, logger });
    await giver.give(taker, signal);
    await giver.renew(taker, signal);
    expect(limits).toEqual([undefined, limit, limit]);
  });

  it('gives what is there to a back-end that maps all of a small part', async () => {
    const { given, taker, sharing, logger } = setUp(4 * MIB);
    const giver = new MemoryGiver({ memory: BANKS, sharing, logger });
    await giver.give(taker, signal);
    expect(given).toEqual(['trial', 'extents']);
    expect(giver.habit).toBe('whole');
  });

  it('knows of one that maps all how much it has once it has said so, and of one that is at it nothing', async () => {
    const { taker, sharing, logger } = setUp(4 * MIB);
    let taken = (): void => undefined;
    const slow: MemoryTaker = {
      ...taker,
      setMemTable: async (memory, options) => {
        await taker.setMemTable(memory, options);
        if (memory !== EXTENTS) return;
        await new Promise<void>((resolve) => {
          taken = resolve;
        });
      },
    };
    const giver = new MemoryGiver({ memory: BANKS, sharing, logger });
    for (let connection = 0; connection < 2; connection++) {
      const given = giver.give(slow, signal);
      await expect.poll(() => giver.habit).toBe('whole');
      await new Promise(setImmediate);
      expect(giver.leastMapped).toBe(1);
      taken();
      await given;
      expect(giver.leastMapped).toBe(501 * MIB);
    }
  });

  it('gives what is there to one that takes no holes, and at once when it is there again', async () => {
    const { given, taker, sharing, logger } = setUp(0, { banks: refusal('REQUEST_FAILED') });
    const giver = new MemoryGiver({ memory: BANKS, sharing, logger });
    await giver.give(taker, signal);
    expect(given).toEqual(['trial', 'banks', 'extents']);
    expect(giver.habit).toBe('whole');
    given.length = 0;
    await giver.give(taker, signal);
    expect(given).toEqual(['extents']);
  });

  it('gives holes after all where there are too many pieces', async () => {
    const refuses = { extents: refusal('TOO_MANY_REGIONS') };
    const { given, taker, sharing, logger } = setUp(4 * MIB, refuses);
    await new MemoryGiver({ memory: BANKS, sharing, logger }).give(taker, signal);
    expect(given).toEqual(['trial', 'extents', 'banks']);
  });

  it('names the process that maps everything and cannot', async () => {
    const { taker, sharing, logger } = setUp(4 * MIB, { extents: refusal('REQUEST_FAILED') });
    await expect(
      new MemoryGiver({ memory: BANKS, sharing, logger }).give(taker, signal),
    ).rejects.toMatchObject({
      code: 'MEMORY_REFUSED',
      message: expect.stringMatching(/501 MiB .*process 7.* one that maps on demand/),
    });
  });

  it('gives nothing more where there is no room', async () => {
    const { given, taker, sharing, logger } = setUp(4 * MIB);
    const checkRoom = (): never => {
      throw new Error('no room');
    };
    const giver = new MemoryGiver({ memory: BANKS, sharing: { ...sharing, checkRoom }, logger });
    await expect(giver.give(taker, signal)).rejects.toThrow('no room');
    expect(given).toEqual(['trial']);
  });

  it('takes a back-end that does not answer for no refusal', async () => {
    const { given, taker, sharing, logger } = setUp(0, { banks: refusal('TIMEOUT') });
    const giver = new MemoryGiver({ memory: BANKS, sharing, logger });
    await expect(giver.give(taker, signal)).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect(given).toEqual(['trial', 'banks']);
  });
});

describe('MemoryGiver.renew', () => {
  it('gives the banks again to one that maps on demand, and what is there to one that maps all', async () => {
    const { given, taker, sharing, logger } = setUp(0);
    const giver = new MemoryGiver({ memory: BANKS, sharing, logger });
    await giver.give(taker, signal);
    await giver.renew(taker, signal);
    expect(given).toEqual(['trial', 'banks', 'banks']);
    const whole = setUp(4 * MIB);
    const other = new MemoryGiver({ memory: BANKS, sharing: whole.sharing, logger });
    await other.give(whole.taker, signal);
    await other.renew(whole.taker, signal);
    expect(whole.given).toEqual(['trial', 'extents', 'extents']);
  });

  it('leaves one that maps all with what it has where there is no room for both', async () => {
    const { given, taker, sharing, logger } = setUp(4 * MIB);
    let full = false;
    const checkRoom = (): void => {
      if (full) throw new Error('no room');
    };
    const giver = new MemoryGiver({ memory: BANKS, sharing: { ...sharing, checkRoom }, logger });
    await giver.give(taker, signal);
    full = true;
    await giver.renew(taker, signal);
    expect(given).toEqual(['trial', 'extents']);
  });
});
