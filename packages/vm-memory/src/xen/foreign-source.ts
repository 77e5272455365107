import {
  closeFd,
  dupFd,
  type Fd,
  MAX_VIEW_LENGTH,
  PAGE_SIZE,
  PROT_READ,
} from '@node-vmm/vmm-sys-util';
import {
  type DomId,
  type ForeignMapper,
  type ForeignMapping,
  Privcmd,
  XenSysError,
} from '@node-vmm/xen-sys';
import { rangeText, VmMemoryError } from '../errors.ts';
import type { GuestAddress } from '../guest-address.ts';
import { type GuestRange, sortRanges } from '../guest-range.ts';

/** How to reach the memory of other domains. */
export interface ForeignSourceOptions {
  /** Domain whose memory it is. */
  readonly domid: DomId;
  /**
   * An open /dev/xen/privcmd, such as a vhost-user front-end sends; stays the caller's. Default:
   * opened here.
   */
  readonly fd?: Fd;
  /** What maps, default the descriptor. Memory of a mapper without `fd` cannot be shared. */
  readonly mapper?: ForeignMapper;
}

/** The descriptor and the mapper to use for one memory; closed with it. */
export class ForeignSource implements Disposable {
  readonly domid: DomId;
  /** Descriptor to share, a duplicate or our own. */
  readonly fd: Fd | undefined;
  readonly #mapper: ForeignMapper;
  readonly #close: () => void;
  #live = true;

  /** @throws {XenSysError} NO_PRIVCMD, NOT_PERMITTED when privcmd has to be opened and cannot */
  constructor({ domid, fd, mapper }: ForeignSourceOptions) {
    this.domid = domid;
    if (mapper !== undefined) {
      const own = fd === undefined ? undefined : dupFd(fd);
      this.fd = own;
      this.#mapper = mapper;
      this.#close = () => {
        if (own !== undefined) closeFd(own);
      };
    } else {
      const privcmd = fd === undefined ? Privcmd.open() : Privcmd.fromFd(dupFd(fd));
      this.fd = privcmd.fd;
      this.#mapper = privcmd.memory;
      this.#close = () => privcmd.close();
    }
  }

  /**
   * Maps the frames of a page-aligned range; some may fail.
   *
   * @throws {VmMemoryError} FOREIGN_MAP_FAILED when the call as a whole failed; `cause` says why
   */
  map({ guestAddr, length }: ForeignPiece): ForeignMapping {
    const { gfn, count } = framesOf(guestAddr, length);
    try {
      return this.#mapper.map(this.domid, { first: gfn, count });
    } catch (cause) {
      throw this.#failed(gfn, count, cause);
    }
  }

  /** As {@link map}, while Node's event loop goes on turning. */
  async mapAsync({ guestAddr, length }: ForeignPiece): Promise<ForeignMapping> {
    const { gfn, count } = framesOf(guestAddr, length);
    try {
      return await this.#mapper.mapAsync(this.domid, { first: gfn, count });
    } catch (cause) {
      throw this.#failed(gfn, count, cause);
    }
  }

  /**
   * Whether the guest has memory at any of these frames. Nothing stays mapped.
   *
   * @throws {VmMemoryError} as {@link map}
   */
  async hasAny(gfns: BigUint64Array): Promise<boolean> {
    try {
      using mapped = await this.#mapper.mapAsync(this.domid, gfns, PROT_READ);
      return mapped.failed < gfns.length;
    } catch (cause) {
      throw this.#failed(gfns[0] ?? 0n, gfns.length, cause);
    }
  }

  #failed(gfn: bigint, count: number, cause: unknown): VmMemoryError {
    const errno = XenSysError.is(cause) ? cause.context.errno : undefined;
    return foreignMapFailed(this.domid, gfn, count, count, errno, { cause });
  }

  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    this.#close();
  }
}

function framesOf(guestAddr: bigint, length: number): { gfn: bigint; count: number } {
  return { gfn: guestAddr / BigInt(PAGE_SIZE), count: length / PAGE_SIZE };
}

export function foreignMapFailed(
  domid: number,
  gfn: bigint,
  count: number,
  total: number,
  errno: number | undefined,
  options?: ErrorOptions,
): VmMemoryError {
  const why = errno === undefined ? '' : `, errno ${errno}`;
  return new VmMemoryError(
    'FOREIGN_MAP_FAILED',
    `Cannot map memory of domain ${domid}: ${count} of ${total} pages failed, the first at guest ` +
      `frame 0x${gfn.toString(16)}${why}`,
    { domid, gfn, count, ...(errno === undefined ? {} : { errno }) },
    options,
  );
}

/** A page-aligned piece of guest memory that one view can show. */
export interface ForeignPiece {
  readonly guestAddr: GuestAddress;
  readonly length: number;
}

/**
 * Cuts ranges into pieces that one view can show, in ascending order, one after the other: a peer
 * that describes terabytes is found out before anything of their size is allocated.
 *
 * @throws {VmMemoryError} BAD_REGION, OVERLAP
 */
export function* piecesOf(ranges: Iterable<GuestRange>): Generator<ForeignPiece> {
  const page = BigInt(PAGE_SIZE);
  const sorted = sortRanges(ranges);
  for (const { guestAddr, length } of sorted) {
    if (guestAddr % page === 0n && BigInt(length) % page === 0n) continue;
    throw new VmMemoryError(
      'BAD_REGION',
      `Cannot map ${rangeText(guestAddr, length)}: Xen maps whole pages of ${PAGE_SIZE} bytes`,
      { guestAddr, length: BigInt(length) },
    );
  }
  for (const { guestAddr, length } of sorted) {
    const total = Number(length);
    for (let at = 0; at < total; at += MAX_VIEW_LENGTH) {
      yield {
        guestAddr: (guestAddr + BigInt(at)) as GuestAddress,
        length: Math.min(MAX_VIEW_LENGTH, total - at),
      };
    }
  }
}
