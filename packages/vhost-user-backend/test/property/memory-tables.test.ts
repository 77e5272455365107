// Any sequence of memory tables against a model: what a front-end shares is what its device sees, at any
// moment, and nothing of it is left when it has gone.
import { readdirSync, readSync, writeSync } from 'node:fs';
import { guestAddress } from '@node-vmm/vm-memory';
import { closeFd, type Fd, memfdCreate, PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import { expect, it } from 'vitest';
import {
  type FrontEnd,
  GUEST_BASE,
  type Guest,
  type GuestRing,
  type TableRegion,
} from '../../src/testing/index.ts';
import { useBench } from '../bench.ts';
import { timesMapped } from '../told-table.ts';

/** A million of them, in the closing notes: `NODE_VMM_SOAK=1`. */
const CHANGES = process.env['NODE_VMM_SOAK'] === undefined ? 2_000 : 1_000_000;
const FILES = [1, 3, 8, 40];
const SLOTS = 32;
const HOLD = 0xfe;
const RELEASE = 0xfd;
/** Where regions of files may be in the guest, over the guest's own memory. */
const FIRST = 1n << 32n;
const PLACES = 64n;

interface Held extends TableRegion {
  readonly file: number;
}

/** xorshift32: the same sequence for the same seed. */
function random(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** What the first bytes of a page of a file are; a command for the device is in none. */
function wordOf(file: number, page: number): number[] {
  return [1, file, page, 0x55];
}

class Run {
  readonly #below: (below: number) => number;
  readonly #frontEnd: FrontEnd;
  readonly #ring: GuestRing;
  readonly #own: Guest;
  readonly #files: readonly Fd[];
  #table: Held[] = [];
  /** Requests that the device keeps, and where in a file each is to be answered. */
  #held: { readonly file: number; readonly offset: bigint }[] = [];
  refused = 0;
  unseen = 0;

  constructor(seed: number, frontEnd: FrontEnd, ring: GuestRing, own: Guest, files: readonly Fd[]) {
    this.#below = random(seed);
    this.#frontEnd = frontEnd;
    this.#ring = ring;
    this.#own = own;
    this.#files = files;
  }

  async change(): Promise<void> {
    const kind = this.#below(10);
    if (kind < 4) await this.#add();
    else if (kind < 7) await this.#remove();
    else if (kind < 9) await this.#replace();
    else await this.#holdOrRelease();
    await this.#look();
  }

  async end(): Promise<void> {
    await this.#release();
  }

  #region(): Held {
    const below = this.#below;
    const file = below(FILES.length);
    const pages = FILES[file] as number;
    // Now and then too long, or empty, or at the end of everything.
    const at = BigInt(below(Number(PLACES)));
    const offset =
      BigInt(below(pages)) * BigInt(PAGE_SIZE) + BigInt(below(4) === 0 ? below(4096) : 0);
    const left = BigInt(pages * PAGE_SIZE) - offset;
    const sizes = [
      left,
      BigInt(PAGE_SIZE),
      1n + BigInt(below(Number(left))),
      left + 1n,
      0n,
      1n << 62n,
    ];
    const size = sizes[below(40) === 0 ? 3 + below(3) : below(3)] as bigint;
    const guestAddr = FIRST + at * BigInt(PAGE_SIZE) * 8n;
    return { file, guestAddr, userAddr: guestAddr, size, mmapOffset: offset };
  }

  #right({ file, size, mmapOffset }: Held): boolean {
    return size > 0n && mmapOffset + size <= BigInt((FILES[file] as number) * PAGE_SIZE);
  }

  #overlaps(region: Held, table: readonly Held[]): boolean {
    const { guestAddr, size } = region;
    return table.some(
      (other) => guestAddr < other.guestAddr + other.size && other.guestAddr < guestAddr + size,
    );
  }

  async #tell(name: 'VHOST_USER_ADD_MEM_REG' | 'VHOST_USER_REM_MEM_REG', region: Held) {
    const fds = name === 'VHOST_USER_ADD_MEM_REG' ? [this.#files[region.file] as Fd] : [];
    return this.#frontEnd.tell(name, region, fds);
  }

  async #add(): Promise<void> {
    const region = this.#region();
    // What is no region at all ends the connection, which other tests are about.
    if (region.size === 0n || region.size === 1n << 62n) return;
    const right = this.#right(region) && !this.#overlaps(region, this.#table);
    const admitted = right && this.#table.length + 1 < SLOTS;
    if (right && !admitted) return;
    expect(await this.#tell('VHOST_USER_ADD_MEM_REG', region)).toBe(admitted ? 0 : 1);
    if (admitted) this.#table.push(region);
    else this.refused++;
  }

  async #remove(): Promise<void> {
    const index = this.#below(this.#table.length + 1);
    const region = this.#table[index];
    if (region === undefined) {
      const other = { ...this.#region(), guestAddr: FIRST + 1n, size: 7n };
      expect(await this.#tell('VHOST_USER_REM_MEM_REG', other)).toBe(1);
      this.refused++;
      return;
    }
    expect(await this.#tell('VHOST_USER_REM_MEM_REG', region)).toBe(0);
    this.#table.splice(index, 1);
  }

  async #replace(): Promise<void> {
    const table: Held[] = [];
    let right = true;
    for (let count = this.#below(7); count > 0; count--) {
      const region = this.#region();
      if (region.size === 0n || region.size === 1n << 62n) continue;
      right &&= this.#right(region) && !this.#overlaps(region, table);
      table.push(region);
    }
    const regions = [...this.#own.regions, ...table];
    const fds = [...this.#own.fds, ...table.map(({ file }) => this.#files[file] as Fd)];
    expect(await this.#frontEnd.tell('VHOST_USER_SET_MEM_TABLE', regions, fds)).toBe(right ? 0 : 1);
    if (right) this.#table = table;
    else this.refused++;
  }

  async #holdOrRelease(): Promise<void> {
    const region = this.#table[this.#below(this.#table.length + 1)];
    if (this.#held.length > 8 || region === undefined) {
      await this.#release();
      return;
    }
    // In the second half of a page, where nobody looks.
    const page = BigInt(PAGE_SIZE);
    const offset = ((region.mmapOffset + page - 1n) / page) * page + page / 2n;
    const into = region.guestAddr + offset - region.mmapOffset;
    if (into + 4n > region.guestAddr + region.size) return;
    const command = guestAddress(GUEST_BASE + 0x18_1000n);
    this.#own.memory.writeU8(command, HOLD);
    this.#ring.driver.add([
      { guestAddr: command, length: 1, writable: false },
      { guestAddr: guestAddress(into), length: 4, writable: true },
    ]);
    this.#ring.submit();
    this.#held.push({ file: region.file, offset });
    // The look that follows finds it taken.
  }

  /** The device answers them in memory that the front-end may have taken back since. */
  async #release(): Promise<void> {
    this.#ring.submit([RELEASE]);
    await this.#ring.collect(this.#frontEnd.poller, this.#held.length + 1);
    for (const { file, offset } of this.#held) {
      const answer = new Uint8Array(4);
      readSync(this.#files[file] as Fd, answer, 0, 4, Number(offset));
      expect([...answer]).toEqual([HOLD, 1, 2, 3]);
    }
    for (const { file, offset } of this.#held) {
      writeSync(this.#files[file] as Fd, new Uint8Array(4), 0, 4, Number(offset));
    }
    this.#held = [];
  }

  /** Has the device read four bytes where a page of some file may be. */
  async #look(): Promise<void> {
    const known = this.#table[this.#below(this.#table.length + 1)];
    const page = BigInt(PAGE_SIZE);
    let at = FIRST + BigInt(this.#below(Number(PLACES) * 8)) * page;
    if (known !== undefined) {
      const skip = (page - (known.mmapOffset % page)) % page;
      at = known.guestAddr + skip;
    }
    const seen = this.#table.find(
      ({ guestAddr, size }) => at >= guestAddr && at + 4n <= guestAddr + size,
    );
    const into = guestAddress(GUEST_BASE + 0x18_0000n);
    this.#ring.driver.add([
      { guestAddr: guestAddress(at), length: 4, writable: false },
      { guestAddr: into, length: 4, writable: true },
    ]);
    this.#ring.submit();
    const [written] = await this.#ring.collect(this.#frontEnd.poller, 1);
    if (seen === undefined) {
      // Or it is in two regions side by side.
      this.unseen += written === 0 ? 1 : 0;
      return;
    }
    expect(written).toBe(4);
    const answer = new Uint8Array(4);
    this.#own.memory.read(into, answer);
    const offset = seen.mmapOffset + (at - seen.guestAddr);
    if (offset % page === 0n) {
      expect([...answer]).toEqual(wordOf(seen.file, Number(offset / page)));
    }
  }
}

const bench = useBench();

it('what a front-end shares is what its device sees, whatever it was before', async () => {
  const { frontEnd, ring } = await bench().running();
  const { guest } = bench();
  const files = FILES.map((pages, file) => {
    const fd = memfdCreate(`tables-${file}`, pages * PAGE_SIZE);
    for (let page = 0; page < pages; page++) {
      writeSync(fd, Uint8Array.from(wordOf(file, page)), 0, 4, page * PAGE_SIZE);
    }
    return fd;
  });
  const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
  const run = new Run(seed, frontEnd, ring, guest, files);
  const fds = readdirSync('/proc/self/fd').length;
  try {
    for (let i = 0; i < CHANGES; i++) await run.change();
    await run.end();
  } catch (error) {
    throw new Error(`with SEED=${seed}`, { cause: error });
  }
  expect(run.refused).toBeGreaterThan(CHANGES / 100);
  expect(run.unseen).toBeGreaterThan(CHANGES / 100);
  expect(readdirSync('/proc/self/fd').length).toBe(fds);
  frontEnd.close();
  await bench().idle();
  expect(FILES.map((_, file) => timesMapped(`tables-${file}`))).toEqual(FILES.map(() => 0));
  for (const fd of files) closeFd(fd);
}, 3_600_000);
