import {
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type FdRegion,
  GuestMemoryMmap,
  GuestMemoryView,
  guestAddress,
  mappingsOf,
} from '@node-vmm/vm-memory';
import {
  asFd,
  closeFd,
  FaultGuard,
  type Fd,
  MAX_VIEW_LENGTH,
  memfdCreate,
  openFd,
} from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const openFds = (): number => readdirSync('/proc/self/fd').length;
const maps = (): string[] =>
  readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line.includes('vm-memory-test'));

describe('GuestMemoryMmap.fromRegions', () => {
  let fd: Fd;
  let fds: number;
  beforeEach(() => {
    fd = memfdCreate('vm-memory-test', 0x3000);
    fds = openFds();
  });
  afterEach(() => {
    closeFd(fd);
  });

  const region = (values: Partial<FdRegion>): FdRegion => ({
    guestAddr: guestAddress(0x1000),
    length: 0x1000,
    fd,
    fdOffset: 0,
    ...values,
  });

  it('shares bytes with every other mapping of the file', () => {
    using one = GuestMemoryMmap.fromRegions([region({ length: 0x3000 })]);
    using two = GuestMemoryMmap.fromRegions([region({ length: 0x1000, fdOffset: 0x1000n })]);
    one.writeU32(guestAddress(0x2010), 0x1234_5678);
    expect(two.readU32(guestAddress(0x1010))).toBe(0x1234_5678);
  });

  it('maps at an offset that no page starts at', () => {
    using whole = GuestMemoryMmap.fromRegions([region({ length: 0x3000 })]);
    using odd = GuestMemoryMmap.fromRegions([region({ length: 0x1001, fdOffset: 0x1fffn })]);
    whole.writeU8(guestAddress(0x2fff), 0x77);
    whole.writeU8(guestAddress(0x3fff), 0x78);
    expect(odd.readU8(guestAddress(0x1000))).toBe(0x77);
    expect(odd.readU8(guestAddress(0x2000))).toBe(0x78);
    expect(odd.regions[0]?.length).toBe(0x1001);
  });

  it('leaves the descriptors given to the caller and keeps its own', () => {
    const memory = GuestMemoryMmap.fromRegions([region({})]);
    expect(openFds()).toBe(fds + 1);
    const [shared] = memory.sharedRegions;
    expect(shared).toMatchObject({ guestAddr: 0x1000n, length: 0x1000n, fdOffset: 0n });
    expect(shared?.fd).not.toBe(fd);
    expect(maps()).toHaveLength(1);
    memory.close();
    expect(openFds()).toBe(fds);
    expect(maps()).toHaveLength(0);
    expect(() => closeFd(shared?.fd ?? asFd(0))).toThrow(/EBADF/);
  });

  // Mapped before the bad one, which comes later in the guest.
  const good = { guestAddr: guestAddress(0) };
  it.each<[string, string, Partial<FdRegion>]>([
    ['BAD_REGION', 'an empty region', { length: 0n }],
    ['BAD_REGION', 'a negative length', { length: -1n }],
    ['BAD_REGION', 'a region that wraps around', { guestAddr: guestAddress(2n ** 64n - 0x1000n) }],
    ['BAD_REGION', 'a length of 2^64 - 1', { length: 2n ** 64n - 1n }],
    ['OVERLAP', 'a region over another', { guestAddr: guestAddress(0xfff) }],
    ['OVERLAP', 'a region twice', { guestAddr: good.guestAddr }],
    ['FILE_TOO_SMALL', 'a length past the end of the file', { length: 0x3001n }],
    ['FILE_TOO_SMALL', 'an offset at the end of the file', { fdOffset: 0x3000n }],
    ['FILE_TOO_SMALL', 'an offset that overflows', { fdOffset: 2n ** 64n - 0x1000n }],
    ['FILE_TOO_SMALL', 'a negative offset', { fdOffset: -0x1000n }],
  ])('refuses with %s %s, and leaks nothing', (code, _what, values) => {
    expect(() => GuestMemoryMmap.fromRegions([region(good), region(values)])).toThrow(
      expect.objectContaining({ name: 'VmMemoryError', code }),
    );
    expect(openFds()).toBe(fds);
    expect(maps()).toHaveLength(0);
  });

  it('refuses what has no memory', () => {
    for (const bad of [openFd('/', 'r'), openFd('/dev/null')]) {
      expect(() => GuestMemoryMmap.fromRegions([region({ fd: bad })])).toThrow(
        expect.objectContaining({ code: 'MAP_FAILED' }),
      );
      closeFd(bad);
    }
    expect(() => GuestMemoryMmap.fromRegions([region({ fd: asFd(9999) })])).toThrow(/EBADF/);
  });

  it('reports a file that it may not map for writing, and leaks nothing', () => {
    const directory = mkdtempSync(join(tmpdir(), 'vm-memory-'));
    const path = join(directory, 'ram');
    writeFileSync(path, new Uint8Array(0x1000));
    const readOnly = openFd(path, 'r');
    expect(() => GuestMemoryMmap.fromRegions([region(good), region({ fd: readOnly })])).toThrow(
      expect.objectContaining({
        code: 'MAP_FAILED',
        cause: expect.objectContaining({ code: 'EACCES' }),
      }),
    );
    closeFd(readOnly);
    rmSync(directory, { recursive: true });
    expect(openFds()).toBe(fds);
    expect(maps()).toHaveLength(0);
  });
});

describe('GuestMemoryMmap.create', () => {
  it('puts all regions into one file that cannot shrink', () => {
    using memory = GuestMemoryMmap.create(
      [
        { guestAddr: guestAddress(0x4000_0000), length: 0x2000 },
        { guestAddr: guestAddress(0), length: 0x1800 },
      ],
      { name: 'vm-memory-test' },
    );
    expect(memory.sharedRegions).toMatchObject([
      { guestAddr: 0n, length: 0x1800n, fdOffset: 0n },
      { guestAddr: 0x4000_0000n, length: 0x2000n, fdOffset: 0x2000n },
    ]);
    using peer = GuestMemoryMmap.fromRegions(memory.sharedRegions);
    memory.writeU64(guestAddress(0x4000_1ff8), 0x0123_4567_89ab_cdefn);
    expect(peer.readU64(guestAddress(0x4000_1ff8))).toBe(0x0123_4567_89ab_cdefn);
    expect(() =>
      writeFileSync(`/proc/self/fd/${memory.sharedRegions[0]?.fd}`, new Uint8Array(1)),
    ).toThrow(/EPERM/);
  });

  it('shows a region larger than one view in several, and shares it as one', () => {
    const start = 0x1_0000_0000n;
    const border = start + BigInt(MAX_VIEW_LENGTH);
    using memory = GuestMemoryMmap.create([
      { guestAddr: guestAddress(start), length: MAX_VIEW_LENGTH + 0x1000 },
    ]);
    expect(memory.regions.map((part) => part.length)).toEqual([MAX_VIEW_LENGTH, 0x1000]);
    expect(memory.sharedRegions).toHaveLength(1);
    memory.writeU64(guestAddress(border - 4n), 0x8877_6655_4433_2211n);
    expect(memory.readU32(guestAddress(border))).toBe(0x8877_6655);
    using view = GuestMemoryView.attach(mappingsOf(memory));
    expect(view.readU64(guestAddress(border - 4n))).toBe(0x8877_6655_4433_2211n);
    const [first, second] = memory.regions;
    expect(second?.hostAddress).toBe((first?.hostAddress ?? 0) + MAX_VIEW_LENGTH);
  });
});

describe('GuestMemoryMmap with a guard', () => {
  const length = 0x4000;
  let directory: string;
  let fd: Fd;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'guarded-'));
    fd = asFd(openSync(join(directory, 'memory'), 'w+'));
    ftruncateSync(fd, length);
  });
  afterEach(() => {
    closeFd(fd);
    rmSync(directory, { recursive: true });
  });
  const map = (guestAddr: bigint): GuestMemoryMmap =>
    GuestMemoryMmap.fromRegions([{ guestAddr: guestAddress(guestAddr), length, fd, fdOffset: 0 }], {
      guard: FaultGuard.install(),
    });

  it('says so when its file has been truncated, and so do its views', () => {
    using memory = map(0x1000n);
    const view = GuestMemoryView.attach(mappingsOf(memory));
    memory.writeU32(guestAddress(0x1000), 7);
    expect([memory.faulted, view.faulted]).toEqual([false, false]);
    ftruncateSync(fd, 0);
    expect(view.readU32(guestAddress(0x3000))).toBe(0);
    expect([memory.faulted, view.faulted]).toEqual([true, true]);
    view.close();
  });

  it('does not mistake later memory for what was there', () => {
    for (let i = 0; i < 3; i++) {
      ftruncateSync(fd, length);
      using memory = map(0n);
      expect(memory.faulted).toBe(false);
      ftruncateSync(fd, 0);
      memory.writeU8(guestAddress(5), 1);
      expect(memory.faulted).toBe(true);
    }
  });

  it('is nothing that memory without one knows of', () => {
    using memory = GuestMemoryMmap.create([{ guestAddr: guestAddress(0), length }]);
    expect([memory.faulted, memory.regions[0]?.fault]).toEqual([false, undefined]);
  });
});
