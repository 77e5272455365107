import { VmError } from '@node-vmm/vm-device';
import {
  ADDR_WORD,
  BITS_WORD,
  COUNT_WORD,
  DATA_WORD,
  DF_BIT,
  DIR_BIT,
  IOREQ_WORDS,
  PORT_WORD,
  PTR_BIT,
  SIZE_WORD,
  SLOT_SIZE,
  STATE_IOREQ_INPROCESS,
  STATE_IOREQ_NONE,
  STATE_IOREQ_READY,
  STATE_IORESP_READY,
  STATE_MASK,
  STATE_SHIFT,
  TYPE_SHIFT,
} from './ioreq-layout.ts';

/** Of 32 bits in `data`. */
const WORDS_OF_DATA = 2;
const IOREQ_DATA = IOREQ_WORDS / WORDS_OF_DATA;

/** A request, copied out of the shared page once and then believed. Reused between requests. */
export interface IoreqRequest {
  addrLow: number;
  addrHigh: number;
  dataLow: number;
  dataHigh: number;
  /** Repetitions of a string instruction, else 1. */
  count: number;
  /** Bytes of one access. */
  size: number;
  /** `IOREQ_TYPE_*`. */
  type: number;
  isRead: boolean;
  /** `data` is the guest address of the other operand. */
  dataIsPtr: boolean;
  /** Addresses descend with each repetition. */
  backwards: boolean;
}

/** A request object to copy into. */
export function emptyRequest(): IoreqRequest {
  return {
    addrLow: 0,
    addrHigh: 0,
    dataLow: 0,
    dataHigh: 0,
    count: 0,
    size: 0,
    type: 0,
    isRead: false,
    dataIsPtr: false,
    backwards: false,
  };
}

/**
 * The page through which a hypervisor hands guests' accesses to a device model: one
 * `struct ioreq` for each vCPU (xen/include/public/hvm/ioreq.h). Both sides' operations are here:
 * the simulated VM's guest writes what Xen writes.
 */
export class IoreqPage {
  readonly vcpus: number;
  readonly #words: Uint32Array;
  /** The same, for `data`: at once, and without arithmetic of 64 bits. Every host that is served is little-endian. */
  readonly #data: BigUint64Array;

  /**
   * @param buffer - the mapped page, which the caller keeps mapped for as long as this object is used, or
   * memory that threads share
   * @throws {VmError} NOT_SUPPORTED when the page has no room for so many vCPUs
   */
  constructor(buffer: ArrayBufferLike, vcpus: number) {
    if (vcpus < 1 || vcpus * SLOT_SIZE > buffer.byteLength) {
      throw new VmError(
        'NOT_SUPPORTED',
        `Cannot serve a guest of ${vcpus} vCPUs: one ioreq page holds ` +
          `${Math.floor(buffer.byteLength / SLOT_SIZE)}; create the guest with fewer`,
      );
    }
    this.vcpus = vcpus;
    this.#words = new Uint32Array(buffer, 0, vcpus * IOREQ_WORDS);
    this.#data = new BigUint64Array(buffer, 0, vcpus * IOREQ_DATA);
  }

  /** `STATE_IOREQ_*` of a vCPU, with acquire semantics. */
  state(vcpu: number): number {
    return (Atomics.load(this.#words, vcpu * IOREQ_WORDS + BITS_WORD) >>> STATE_SHIFT) & STATE_MASK;
  }

  /** Event channel port of the vCPU, as Xen allotted it. */
  eventPort(vcpu: number): number {
    return this.#words[vcpu * IOREQ_WORDS + PORT_WORD] as number;
  }

  /**
   * Device model: takes the vCPU's request if there is one and marks it as being served.
   *
   * @returns false when there is none
   */
  take(vcpu: number, into: IoreqRequest): boolean {
    const words = this.#words;
    const at = vcpu * IOREQ_WORDS;
    // A look, which the exchange below confirms: whoever comes here was told of a request by the kernel.
    const bits = words[at + BITS_WORD] as number;
    if (((bits >>> STATE_SHIFT) & STATE_MASK) !== STATE_IOREQ_READY) return false;
    const taken = withState(bits, STATE_IOREQ_INPROCESS);
    // The kernel's ioeventfd code looks at the same word: only one of us may take the request.
    if (Atomics.compareExchange(words, at + BITS_WORD, bits, taken) !== bits) return false;
    into.addrLow = words[at + ADDR_WORD] as number;
    into.addrHigh = words[at + ADDR_WORD + 1] as number;
    into.dataLow = words[at + DATA_WORD] as number;
    into.dataHigh = words[at + DATA_WORD + 1] as number;
    into.count = words[at + COUNT_WORD] as number;
    into.size = words[at + SIZE_WORD] as number;
    into.type = bits >>> TYPE_SHIFT;
    into.isRead = (bits & DIR_BIT) !== 0;
    into.dataIsPtr = (bits & PTR_BIT) !== 0;
    into.backwards = (bits & DF_BIT) !== 0;
    return true;
  }

  /** Device model: the value that a read gives, before `complete`. */
  setData(vcpu: number, value: bigint): void {
    this.#data[vcpu * IOREQ_DATA + DATA_WORD / WORDS_OF_DATA] = value;
  }

  /** Device model: answers; the vCPU goes on once its event channel is notified. */
  complete(vcpu: number): void {
    this.#setState(vcpu, STATE_IORESP_READY);
  }

  /**
   * Device model: nobody serves the vCPU's request any more, so whoever comes next is to take it. Nothing
   * happens where none was being served.
   */
  putBack(vcpu: number): void {
    const at = vcpu * IOREQ_WORDS + BITS_WORD;
    const bits = Atomics.load(this.#words, at);
    if (((bits >>> STATE_SHIFT) & STATE_MASK) !== STATE_IOREQ_INPROCESS) return;
    Atomics.compareExchange(this.#words, at, bits, withState(bits, STATE_IOREQ_READY));
  }

  /**
   * Device model: whoever served the page until now has ended, in whatever moment. What that had taken is to be
   * taken anew, and whom it had answered is told, once more where it had told them.
   *
   * @param notify - tells a vCPU that its request is answered
   */
  takeOver(notify: (vcpu: number) => void): void {
    for (let vcpu = 0; vcpu < this.vcpus; vcpu++) {
      if (this.state(vcpu) === STATE_IORESP_READY) notify(vcpu);
      else this.putBack(vcpu);
    }
  }

  /** Guest side: posts an access of type COPY. */
  submit(vcpu: number, request: IoreqRequest): void {
    const words = this.#words;
    const at = vcpu * IOREQ_WORDS;
    words[at + ADDR_WORD] = request.addrLow;
    words[at + ADDR_WORD + 1] = request.addrHigh;
    words[at + DATA_WORD] = request.dataLow;
    words[at + DATA_WORD + 1] = request.dataHigh;
    words[at + COUNT_WORD] = request.count;
    words[at + SIZE_WORD] = request.size;
    const bits =
      (STATE_IOREQ_READY << STATE_SHIFT) |
      (request.isRead ? DIR_BIT : 0) |
      (request.dataIsPtr ? PTR_BIT : 0) |
      (request.backwards ? DF_BIT : 0) |
      (request.type << TYPE_SHIFT);
    Atomics.store(words, at + BITS_WORD, bits >>> 0);
  }

  /** Guest side: the answer's value, once `state` is `STATE_IORESP_READY`; frees the slot. */
  collect(vcpu: number): bigint {
    const at = vcpu * IOREQ_WORDS + DATA_WORD;
    const low = this.#words[at] as number;
    const high = this.#words[at + 1] as number;
    this.#setState(vcpu, STATE_IOREQ_NONE);
    return (BigInt(high) << 32n) | BigInt(low);
  }

  #setState(vcpu: number, state: number): void {
    const at = vcpu * IOREQ_WORDS + BITS_WORD;
    // Nobody else writes the word until then.
    Atomics.store(this.#words, at, withState(this.#words[at] as number, state));
  }
}

function withState(bits: number, state: number): number {
  return ((bits & ~(STATE_MASK << STATE_SHIFT)) | (state << STATE_SHIFT)) >>> 0;
}
