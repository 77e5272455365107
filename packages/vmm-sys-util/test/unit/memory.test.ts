import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  asFd,
  closeFd,
  fileSize,
  MAP_SHARED,
  Mapping,
  memfdCreate,
  SysError,
  writeFd,
} from '../../src/index.ts';

describe('Mapping', () => {
  it('shares a memfd between two mappings', () => {
    const fd = memfdCreate('test', 8192);
    expect(fileSize(fd)).toBe(8192);
    using a = Mapping.create({ length: 8192, fd });
    using b = Mapping.create({ length: 4096, fd, offset: 4096, flags: MAP_SHARED });
    closeFd(fd);
    new Uint8Array(a.buffer())[4097] = 42;
    expect(new Uint8Array(b.buffer())[1]).toBe(42);
    expect(a.buffer(4096, 10).byteLength).toBe(10);
  });

  it('refuses windows outside and use after close', () => {
    const mapping = Mapping.create({ length: 4096 });
    expect(() => mapping.buffer(1, 4096)).toThrow(RangeError);
    expect(() => mapping.buffer(-1, 1)).toThrow(RangeError);
    mapping.close();
    mapping.close();
    expect(mapping.live).toBe(false);
    expect(() => mapping.buffer()).toThrow(/closed/);
  });

  it('overlays a window with another file, and refuses windows outside', () => {
    const fd = memfdCreate('overlay', 4096);
    using run = Mapping.create({ length: 3 * 4096 });
    run.overlay(4096, { length: 4096, fd });
    new Uint8Array(run.buffer())[4096] = 7;
    using other = Mapping.create({ length: 4096, fd });
    expect(new Uint8Array(other.buffer())[0]).toBe(7);
    expect(() => run.overlay(8192, { length: 8192, fd })).toThrow(RangeError);
    expect(() => run.overlay(1, { length: 4096, fd })).toThrow(RangeError);
    closeFd(fd);
    expect(() => run.overlay(0, { length: 4096, fd: asFd(99_999) })).toThrow(SysError);
  });

  it('is let go of on another thread, while its addresses stay', async () => {
    const fd = memfdCreate('vacated', 8192);
    const mapping = Mapping.create({ length: 8192, fd });
    const bytes = new Uint8Array(mapping.buffer());
    bytes[5000] = 42;
    expect(await mapping.vacateAsync()).toBe(true);
    expect(bytes[5000]).toBe(0);
    expect(readFileSync('/proc/self/maps', 'latin1')).not.toContain('memfd:vacated');
    mapping.close();
    await expect(mapping.vacateAsync()).rejects.toThrow('Cannot vacate a mapping: it is closed');
    closeFd(fd);
  });

  it('reports a failed mmap with errno and subject', () => {
    const attempt = (): Mapping =>
      Mapping.create({ length: 4096, fd: asFd(99_999), subject: 'guest memory' });
    expect(attempt).toThrow(SysError);
    expect(attempt).toThrow('mmap failed on guest memory: EBADF');
    expect(() => Mapping.create({ length: 0 })).toThrow(RangeError);
  });

  it('seals a memfd against shrinking', () => {
    const fd = memfdCreate('sealed', 4096);
    // Growing stays allowed: only shrinking would turn a peer's access into SIGBUS.
    expect(writeFd(fd, new Uint8Array(4096), 4096)).toBe(4096);
    closeFd(fd);
    expect(() => writeFd(fd, new Uint8Array(1), 1)).toThrow(/EBADF/);
  });
});
