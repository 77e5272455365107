import { arch } from 'node:process';
import type { HostPointer } from '../brand.ts';
import { check, sys, viewOf } from '../libc.ts';
import { Mapping, PROT_EXEC, PROT_READ } from '../mmap.ts';
import { SA_ONSTACK, SA_RESTART, SA_SIGINFO, SIGACTION } from '../sigaction.ts';
import { FaultGuardError } from './errors.ts';
import { type FaultMark, FaultTable } from './fault-table.ts';
import { SIGBUS_HANDLER_ARM64 } from './handler-arm64.ts';
import { SIGBUS_HANDLER_X64 } from './handler-x64.ts';
import { assemble } from './machine-code.ts';

/** asm-generic/signal.h. */
const SIGBUS = 7;
/** What the code may take up, and the largest page that a kernel has; the table follows. */
const CODE_LENGTH = 0x1_0000;
/** Of every kernel: where a handler of ours begins. */
const SMALLEST_PAGE = 4096n;

/** Memory that is to be guarded. */
export interface GuardedMemory {
  readonly pointer: HostPointer;
  /** Bytes, whole pages. */
  readonly length: number;
  /** See `mappingPageSize`. */
  readonly pageSize: number;
}

/** Memory that is guarded until `close`. */
export interface FaultProtection extends Disposable {
  readonly mark: FaultMark;
  /** To be called before the memory is unmapped, when nobody touches it any more. Idempotent. */
  close(): void;
}

/**
 * Keeps SIGBUS from ending the process. It is what a thread gets that touches a page of a mapped file
 * which the file cannot have: it was truncated, its file system is full, huge pages have run out. In
 * guarded memory such a page is replaced by an anonymous one, zeros that nobody else sees, the memory is
 * marked, and the thread goes on; who uses the memory looks at the mark (`FaultWatch`). All other
 * faults are passed to the handler that was there before, or end the process as ever.
 *
 * One handler serves all threads, and all copies of this package in the process find it. It is written
 * once, then executable and not writable. Whoever sets another handler for SIGBUS afterwards, as
 * `process.on('SIGBUS')` does, ends the guard.
 */
export class FaultGuard {
  /** So much memory at most is guarded at once in a process: mappings. */
  static readonly CAPACITY: number = FaultTable.CAPACITY;
  readonly #table: FaultTable;

  private constructor(table: FaultTable) {
    this.#table = table;
  }

  /**
   * Takes SIGBUS, or finds that it has been taken. It stays taken.
   *
   * @throws {FaultGuardError} UNSUPPORTED on processors other than x86_64 and arm64
   * @throws {SysError} of `mmap`, `mprotect` (EACCES where memory may not become executable), `sigaction`
   */
  static install(): FaultGuard {
    const code = handlerCode();
    const old = new Uint8Array(SIGACTION.SIZE);
    check(sys.sigaction(SIGBUS, null, old), 'sigaction', 'SIGBUS');
    const present = SIGACTION.decode(old).sa_handler;
    if (isHandler(present, code)) return new FaultGuard(new FaultTable(tableOf(present)));

    // Stays for as long as the process does: a handler cannot be taken back safely.
    const alignment = FaultTable.ALIGNMENT;
    const memory = Mapping.create({ length: 3 * alignment, subject: 'SIGBUS' });
    // In front of the first place for a table that leaves room for it. What is not touched costs nothing.
    const at = 2 * alignment - CODE_LENGTH - Number(memory.pointer % BigInt(alignment));
    const handler = (memory.pointer + BigInt(at)) as HostPointer;
    new Uint8Array(memory.buffer(at, code.length)).set(code);
    // The kernel keeps instruction caches right when pages become executable.
    const protection = PROT_READ | PROT_EXEC;
    check(sys.mprotect(handler, CODE_LENGTH, protection), 'mprotect', 'SIGBUS');
    const table = new FaultTable(tableOf(handler));
    table.previous = present;
    const action = SIGACTION.encode({
      sa_handler: handler,
      sa_flags: SA_SIGINFO | SA_ONSTACK | SA_RESTART,
    });
    check(sys.sigaction(SIGBUS, action, old), 'sigaction', 'SIGBUS');
    // Another thread may have been quicker: then its handler is the next one.
    table.previous = SIGACTION.decode(old).sa_handler;
    return new FaultGuard(table);
  }

  /**
   * Guards memory, which must be a mapping of a file that may be replaced by anonymous memory, whole or
   * page by page: not one of a device, nor of another Xen domain.
   *
   * @throws {FaultGuardError} TABLE_FULL
   * @throws {RangeError} when it is no whole number of pages
   */
  protect({ pointer, length, pageSize }: GuardedMemory): FaultProtection {
    if (!(length > 0) || length % pageSize !== 0 || pointer % BigInt(pageSize) !== 0n) {
      throw new RangeError(`Cannot guard ${length} bytes: no whole pages of ${pageSize}`);
    }
    const table = this.#table;
    const entry = table.publish({ start: pointer, length, pageSize });
    let live = true;
    const close = (): void => {
      if (live) table.withdraw(entry);
      live = false;
    };
    return { mark: table.markOf(entry), close, [Symbol.dispose]: close };
  }
}

function handlerCode(): Uint8Array<ArrayBuffer> {
  if (arch === 'x64') return assemble(SIGBUS_HANDLER_X64);
  if (arch === 'arm64') return assemble(SIGBUS_HANDLER_ARM64);
  const text = `Cannot guard memory against SIGBUS on ${arch}: there is no handler for it`;
  throw new FaultGuardError('UNSUPPORTED', text, { arch });
}

function isHandler(address: bigint, code: Uint8Array): boolean {
  if (address < SMALLEST_PAGE || address % SMALLEST_PAGE !== 0n) return false;
  // SAFETY: a handler is mapped, and so is the page that it begins, which is longer than ours.
  const present = new Uint8Array(viewOf(address as HostPointer, code.length));
  return Buffer.compare(present, code) === 0;
}

function tableOf(handler: bigint): HostPointer {
  return (handler + BigInt(CODE_LENGTH)) as HostPointer;
}
