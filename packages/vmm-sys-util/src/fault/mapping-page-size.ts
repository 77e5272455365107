import type { Fd } from '../brand.ts';
import { check, sys } from '../libc.ts';
import { bytes, i64, struct } from '../struct.ts';

/** linux/magic.h. */
const HUGETLBFS_MAGIC = 0x9584_58f6n;
/** bits/confname.h, the same in musl. */
const SC_PAGESIZE = 30;

/** asm-generic/statfs.h, where words have 64 bits. */
const STATFS = struct(
  'statfs',
  { f_type: i64(0), f_bsize: i64(8), rest: bytes(16, 104) },
  { size: 120 },
);

/**
 * The page of a mapping of a file: what `mmap` can replace in it. That of the system, but for huge
 * pages, which are replaced whole.
 *
 * @returns bytes
 * @throws {SysError}
 */
export function mappingPageSize(fd: Fd): number {
  const answer = new Uint8Array(STATFS.SIZE);
  check(sys.fstatfs(fd, answer), 'fstatfs');
  const { f_type, f_bsize } = STATFS.decode(answer);
  if ((f_type & 0xffff_ffffn) === HUGETLBFS_MAGIC) return Number(f_bsize);
  return check(sys.sysconf(SC_PAGESIZE), 'sysconf(_SC_PAGESIZE)');
}
