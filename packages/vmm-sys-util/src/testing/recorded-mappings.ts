import type { HostPointer } from '../brand.ts';
import type { FaultRange } from '../fault/fault-table.ts';
import type { MemoryArg } from '../libc.ts';

/** A call that changes what is mapped, before it is made. */
export interface MappingCall {
  readonly call: 'mmap' | 'munmap' | 'mprotect';
  /** Address; 0 where the kernel is to choose. */
  readonly start: bigint;
  /** Bytes. */
  readonly length: number;
  /** MAP_FIXED: in place of what is there. */
  readonly fixed: boolean;
  /** What is mapped, -1 for no file. */
  readonly fd: number;
}

/** Puts pages of a file over some that are mapped, unrecorded: what a driver does by itself. */
export type MapOver = (at: bigint, length: number, fd: number, offset: number) => void;

/** Who is told of calls of this thread, and answers some in the kernel's place. */
export interface KernelWitness {
  /** @param at - where it is mapped: of `mmap` alone, when it succeeded, and after the call */
  onCall(call: MappingCall, at: bigint | undefined): void;
  /**
   * @param arg - address
   * @returns what the call returns, a negative errno when it fails; undefined leaves it to the kernel
   */
  onIoctl(fd: number, request: number, arg: bigint, mapOver: MapOver): number | undefined;
}

/** asm-generic/mman-common.h: MAP_FIXED; and shared, readable and writable. */
const FIXED = 0x10;
const SHARED_FIXED = 0x11;
const READ_WRITE = 3;

type Call = (...args: never[]) => unknown;

/**
 * Records this thread's calls that change what is mapped, also those that are made on another thread, and the
 * ranges that the handler of SIGBUS has been given since.
 */
export class RecordedMappings implements Disposable {
  /** By entry of the handler's table. */
  readonly guarded = new Map<number, FaultRange>();
  readonly #undo: (() => void)[] = [];

  private constructor() {}

  /** Until it is disposed of. */
  static async start(witness: KernelWitness): Promise<RecordedMappings> {
    // What loads native code is loaded for who wants it alone.
    const { sys, addressOf } = await import('../libc.ts');
    const { default: koffi } = await import('koffi');
    const { FaultTable } = await import('../fault/fault-table.ts');
    const recorded = new RecordedMappings();
    const replace = (name: keyof typeof sys, by: (call: Call) => Call): void => {
      const calls = sys as Record<string, Call>;
      const call = calls[name] as Call;
      const later = by(call);
      const async = (...args: unknown[]): void => {
        const answer = args.pop() as (error: unknown, result: unknown) => void;
        setImmediate(() => answer(null, later(...(args as never[]))));
      };
      calls[name] = Object.assign(later, { async });
      recorded.#undo.push(() => {
        calls[name] = call;
      });
    };
    const pointerOf = (memory: MemoryArg): bigint => {
      if (memory === null) return 0n;
      return typeof memory === 'object' ? addressOf(memory) : memory;
    };
    const { mmap } = sys;
    const mapOver: MapOver = (at, length, fd, offset) => {
      mmap(at as HostPointer, length, READ_WRITE, SHARED_FIXED, fd, offset);
    };
    replace('mmap', () => (...args: Parameters<typeof sys.mmap>) => {
      const [address, length, , flags, fd] = args;
      const at = mmap(...args);
      const fixed = (flags & FIXED) !== 0;
      const start = pointerOf(address);
      const failed = at === 0xffff_ffff_ffff_ffffn;
      witness.onCall({ call: 'mmap', start, length, fixed, fd }, failed ? undefined : at);
      return at;
    });
    for (const name of ['munmap', 'mprotect'] as const) {
      replace(name, (call) => (...args: never[]) => {
        const [start, length] = args as unknown as [bigint, number];
        witness.onCall({ call: name, start, length, fixed: false, fd: -1 }, undefined);
        return call(...args);
      });
    }
    replace('ioctl', (call) => (...args: never[]) => {
      const [fd, request, arg] = args as unknown as [number, number, MemoryArg];
      const result = witness.onIoctl(fd, request, pointerOf(arg), mapOver);
      if (result === undefined) return call(...args);
      if (result >= 0) return result;
      koffi.errno(-result);
      return -1;
    });
    recorded.#watchTable(FaultTable.prototype);
    return recorded;
  }

  #watchTable(table: { publish(range: FaultRange): number; withdraw(index: number): void }): void {
    const { publish, withdraw } = table;
    const { guarded } = this;
    table.publish = function (range): number {
      const index = publish.call(this, range);
      guarded.set(index, range);
      return index;
    };
    table.withdraw = function (index): void {
      guarded.delete(index);
      withdraw.call(this, index);
    };
    this.#undo.push(() => Object.assign(table, { publish, withdraw }));
  }

  [Symbol.dispose](): void {
    for (const undo of this.#undo.splice(0)) undo();
  }
}
