// What a guest's memory costs those who serve it, and what is left of it when it has gone.
import { readFileSync } from 'node:fs';
import { guestAddress, MAX_PIECE, WINDOW_LENGTH } from '@node-vmm/vm-memory';
import { closeFd, memfdCreate } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';
import {
  type FrontEnd,
  GUEST_BASE,
  Guest,
  GuestRing,
  negotiate,
  until,
} from '../../src/testing/index.ts';
import { useBench } from '../bench.ts';
import { timesMapped } from '../told-table.ts';

const TIB = 2 ** 40;
const KEEPING = new URL('../fixtures/keeping-device.mjs', import.meta.url);

/** What V8 thinks that views take up, bytes. */
const viewed = (): number => process.memoryUsage().external;

async function serve(frontEnd: FrontEnd, guest: Guest, ring: GuestRing): Promise<void> {
  await negotiate(frontEnd, guest);
  ring.setUp(frontEnd);
  expect(await ring.enable(frontEnd)).toBe(0);
}

describe('Memory of a terabyte', () => {
  const bench = useBench();

  it('is accepted without being looked at, and served wherever a request is', async () => {
    const guest = new Guest(TIB);
    const frontEnd = bench().connect();
    const before = viewed();
    await negotiate(frontEnd, guest);
    await frontEnd.ask('VHOST_USER_GET_QUEUE_NUM', undefined);
    expect(viewed() - before).toBeLessThan(WINDOW_LENGTH);
    // The ring itself is at the end.
    const end = GUEST_BASE + BigInt(TIB);
    const ring = new GuestRing(guest, 0, undefined, 64, 0, end - 0x1_0000n);
    ring.setUp(frontEnd);
    expect(await ring.enable(frontEnd)).toBe(0);
    const borders = [0, MAX_PIECE, WINDOW_LENGTH, 2 ** 32, 2 ** 32 + MAX_PIECE, TIB / 2];
    for (const [i, border] of borders.entries()) {
      // Across it, but for the first; what it answers is elsewhere.
      const at = GUEST_BASE + BigInt(border === 0 ? 0x10_0000 : border - 8);
      const data = Uint8Array.from({ length: 16 }, (_, at) => i * 16 + at);
      guest.memory.write(guestAddress(at), data);
      const into = guestAddress(GUEST_BASE + BigInt(TIB / 4 + i * 2 ** 33 - 8));
      ring.driver.add([
        { guestAddr: guestAddress(at), length: 16, writable: false },
        { guestAddr: into, length: 16, writable: true },
      ]);
      ring.submit();
      expect(await ring.collect(frontEnd.poller, 1)).toEqual([16]);
      const answer = new Uint8Array(16);
      guest.memory.read(into, answer);
      expect(answer).toEqual(data);
    }
    ring.close();
    guest.close();
  });

  it('of 64 guests at once leaves all of them served', async () => {
    const served: { frontEnd: FrontEnd; guest: Guest; ring: GuestRing }[] = [];
    for (let i = 0; i < 64; i++) {
      const device = await bench().addDevice({}, { name: `echo-${i}` });
      // This process has the guests' side, too, and 128 TiB of addresses for both.
      const guest = new Guest(TIB / 2);
      const ring = new GuestRing(guest);
      const frontEnd = bench().connect(device);
      await serve(frontEnd, guest, ring);
      served.push({ frontEnd, guest, ring });
    }
    for (const { frontEnd, ring } of served) {
      ring.submit([1, 2]);
      expect(await ring.collect(frontEnd.poller, 1)).toEqual([2]);
    }
    for (const { guest, ring } of served) {
      ring.close();
      guest.close();
    }
  });

  it('is refused where it would leave no addresses for others, who get theirs', async () => {
    const size = 100 * TIB;
    const fd = memfdCreate('everything', size);
    const frontEnd = bench().connect();
    await negotiate(frontEnd, bench().guest);
    const region = { guestAddr: 0n, size: BigInt(size), userAddr: 0n, mmapOffset: 0n };
    const told = () => frontEnd.tell('VHOST_USER_SET_MEM_TABLE', [region], [fd]);
    expect(await told()).toBe(1);
    expect(bench().logger.find('request refused')?.message).toContain(
      'front-ends of device echo may now have',
    );
    expect(timesMapped('everything')).toBe(0);
    // It has what it had, and so has everybody else.
    const ring = bench().ring();
    ring.setUp(frontEnd);
    expect(await ring.enable(frontEnd)).toBe(0);
    ring.submit([1, 2, 3]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([3]);
    closeFd(fd);
  });
});

describe("A guest's memory that a device has kept a view of", () => {
  const bench = useBench();

  /** Has the device keep what a guest's request says. */
  async function keep(): Promise<{ frontEnd: FrontEnd; guest: Guest }> {
    const device = await bench().addDevice({}, { name: 'keeping', module: KEEPING });
    const guest = new Guest();
    const ring = new GuestRing(guest, 0, 0n);
    const frontEnd = bench().connect(device);
    await serve(frontEnd, guest, ring);
    ring.submit([1, 2, 3, 4]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([0]);
    expect(await device.command(['look'])).toEqual({ bytes: [1, 2, 3, 4] });
    ring.close();
    frontEnd.close();
    await until(async () => (await device.status()).state !== 'connected');
    guest.close();
    look = (...words) => device.command(words);
    return { frontEnd, guest };
  }
  let look: (...words: string[]) => Promise<unknown>;

  it('is empty once the guest has gone, and no other guest is ever seen there', async () => {
    await keep();
    expect(await look('look')).toEqual({ bytes: [0, 0, 0, 0] });
    // Many others, of the same size.
    for (let i = 0; i < 20; i++) {
      const { frontEnd, ring } = await bench().running();
      ring.submit([9, 9, 9, 9]);
      expect(await ring.collect(frontEnd.poller, 1)).toEqual([4]);
      expect(await look('look')).toEqual({ bytes: [0, 0, 0, 0] });
      frontEnd.close();
      await bench().idle();
    }
    await look('write');
    const { frontEnd, ring } = await bench().running();
    ring.submit([5, 5, 5, 5]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([4]);
    expect(await look('look')).toEqual({ bytes: [0xee, 0xee, 0xee, 0xee] });
  });

  it('costs addresses alone, and those until the device forgets it', async () => {
    const before = runs();
    await keep();
    expect(timesMapped('guest-memory')).toBe(1);
    await look('forget');
    // Who wants more than there is has what nobody has any more looked for.
    const size = 100 * TIB;
    const fd = memfdCreate('everything', size);
    const frontEnd = bench().connect();
    await negotiate(frontEnd, bench().guest);
    const region = { guestAddr: 0n, size: BigInt(size), userAddr: 0n, mmapOffset: 0n };
    const wanted = async (): Promise<boolean> => {
      expect(await frontEnd.tell('VHOST_USER_SET_MEM_TABLE', [region], [fd])).toBe(1);
      return runs() <= before;
    };
    await expect.poll(wanted, { timeout: 30_000, interval: 300 }).toBe(true);
    closeFd(fd);
  });

  /** Mappings of so many bytes as a guest has, of nothing. */
  const runs = (): number =>
    readFileSync('/proc/self/maps', 'latin1')
      .split('\n')
      .filter((line) => {
        const [, start, end, inode] = /^(\w+)-(\w+) \S+ \S+ \S+ (\d+)/.exec(line) ?? [];
        return inode === '0' && Number(`0x${end}`) - Number(`0x${start}`) === 0x20_0000;
      }).length;
});
