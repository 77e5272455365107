import { TWO_32, U32_MAX } from '@node-vmm/vmm-sys-util';
import {
  KVM_EXIT_FAIL_ENTRY,
  KVM_EXIT_HLT,
  KVM_EXIT_INTERNAL_ERROR,
  KVM_EXIT_INTR,
  KVM_EXIT_IO,
  KVM_EXIT_IO_OUT,
  KVM_EXIT_MMIO,
  KVM_EXIT_SHUTDOWN,
  KVM_EXIT_SYSTEM_EVENT,
  KVM_RUN_FAIL_ENTRY,
  KVM_RUN_INTERNAL,
  KVM_RUN_IO,
  KVM_RUN_MMIO,
  KVM_RUN_PAGE,
  KVM_RUN_SYSTEM_EVENT,
} from './abi/run.ts';
import { KvmSysError } from './errors.ts';
import type { InterruptedExit, IoExit, MmioExit, VcpuExit } from './vcpu-exit.ts';

/** The exit that a signal makes, in which the page says nothing. */
export const INTERRUPTED: InterruptedExit = Object.freeze({ kind: 'interrupted' });

const HLT: VcpuExit = Object.freeze({ kind: 'hlt' });
const SHUTDOWN: VcpuExit = Object.freeze({ kind: 'shutdown' });

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

// Both architectures of KVM that Node has are little endian. Fields of each exit are read without the tables'
// own accessors, which cost as much as all else here.
const LE = true;
const { exit_reason: REASON } = KVM_RUN_PAGE.OFFSETS;
const { phys_addr: MMIO_ADDRESS, len: MMIO_LENGTH, is_write: MMIO_IS_WRITE } = KVM_RUN_MMIO.OFFSETS;
const IO = KVM_RUN_IO.OFFSETS;

/** Bytes that one access to memory has at most, the size of `mmio.data`. */
const MMIO_MAX = KVM_RUN_MMIO.fields.data.size;

/**
 * Reads what a vCPU's page says. What the guest has a hand in (lengths, the place of data) is checked
 * before it is used: no exit shows bytes outside of the page.
 */
export class ExitDecoder {
  readonly #id: number;
  readonly #page: ArrayBuffer;
  readonly #view: DataView;
  /** `mmio.data` at each of its lengths, so that an exit makes no view. */
  readonly #mmioData: readonly Uint8Array[];
  readonly #mmio: Mutable<MmioExit>;
  readonly #io: Mutable<IoExit>;
  #ioOffset = 0;

  /**
   * @param id - of the vCPU, for messages
   * @param page - all that is shared with the vCPU
   */
  constructor(id: number, page: ArrayBuffer) {
    this.#id = id;
    this.#page = page;
    this.#view = new DataView(page);
    this.#mmioData = Array.from(
      { length: MMIO_MAX + 1 },
      (_, length) => new Uint8Array(page, KVM_RUN_MMIO.OFFSETS.data, length),
    );
    const none = new Uint8Array(0);
    this.#mmio = { kind: 'mmio', isWrite: false, address: 0n, data: none };
    this.#io = { kind: 'io', isWrite: false, port: 0, size: 0, count: 0, data: none };
  }

  /** @throws {KvmSysError} BAD_EXIT when the page says what cannot be */
  decode(): VcpuExit {
    const view = this.#view;
    const reason = view.getUint32(REASON, LE);
    switch (reason) {
      case KVM_EXIT_MMIO:
        return this.#decodeMmio();
      case KVM_EXIT_IO:
        return this.#decodeIo();
      case KVM_EXIT_HLT:
        return HLT;
      case KVM_EXIT_SHUTDOWN:
        return SHUTDOWN;
      case KVM_EXIT_INTR:
        return INTERRUPTED;
      case KVM_EXIT_SYSTEM_EVENT: {
        const { type, ndata, data } = KVM_RUN_SYSTEM_EVENT.read(view);
        return { kind: 'system-event', type, data: words(data, ndata) };
      }
      case KVM_EXIT_FAIL_ENTRY: {
        const { hardware_entry_failure_reason, cpu } = KVM_RUN_FAIL_ENTRY.read(view);
        return { kind: 'fail-entry', hardwareReason: hardware_entry_failure_reason, cpu };
      }
      case KVM_EXIT_INTERNAL_ERROR: {
        const { suberror, ndata, data } = KVM_RUN_INTERNAL.read(view);
        return { kind: 'internal-error', suberror, data: words(data, ndata) };
      }
      default:
        return { kind: 'other', reason };
    }
  }

  #decodeMmio(): MmioExit {
    const length = this.#view.getUint32(MMIO_LENGTH, LE);
    const data = this.#mmioData[length];
    if (data === undefined || length === 0) throw this.#bad(`an access of ${length} bytes`);
    const exit = this.#mmio;
    exit.isWrite = this.#view.getUint8(MMIO_IS_WRITE) !== 0;
    exit.address = this.#view.getBigUint64(MMIO_ADDRESS, LE);
    exit.data = data;
    return exit;
  }

  #decodeIo(): IoExit {
    const view = this.#view;
    const size = view.getUint8(IO.size);
    const count = view.getUint32(IO.count, LE);
    const offset =
      view.getUint32(IO.data_offset, LE) + view.getUint32(IO.data_offset + 4, LE) * TWO_32;
    // Both are exact where it matters: the product is below 2^40, an offset that rounds is far outside.
    const length = size * count;
    if (
      (size !== 1 && size !== 2 && size !== 4) ||
      count === 0 ||
      offset < KVM_RUN_PAGE.SIZE ||
      offset > U32_MAX ||
      offset + length > this.#page.byteLength
    ) {
      throw this.#bad(`${count} accesses of ${size} bytes at ${offset}`);
    }
    const exit = this.#io;
    if (offset !== this.#ioOffset || length !== exit.data.length) {
      exit.data = new Uint8Array(this.#page, offset, length);
      this.#ioOffset = offset;
    }
    exit.isWrite = view.getUint8(IO.direction) === KVM_EXIT_IO_OUT;
    exit.port = view.getUint16(IO.port, LE);
    exit.size = size;
    exit.count = count;
    return exit;
  }

  #bad(what: string): KvmSysError {
    return new KvmSysError(
      'BAD_EXIT',
      `Cannot serve an exit of vCPU ${this.#id}: its page tells of ${what}`,
      { vcpu: this.#id },
    );
  }
}

/** The words that are said to be there, no more than there is room for. */
function words(data: Uint8Array, count: number): bigint[] {
  const all = new BigUint64Array(data.buffer, data.byteOffset, data.length / 8);
  return Array.from(all.subarray(0, Math.min(count, all.length)));
}
