import {
  addressOf,
  checkInteger,
  type Fd,
  type Mapping,
  PROT_READ,
  PROT_WRITE,
} from '@node-vmm/vmm-sys-util';
import {
  IOCTL_PRIVCMD_DM_OP,
  IOCTL_PRIVCMD_HYPERCALL,
  IOCTL_PRIVCMD_MMAP_RESOURCE,
  IOCTL_PRIVCMD_RESTRICT,
  PRIVCMD_DM_OP,
  PRIVCMD_DM_OP_BUF,
  PRIVCMD_DM_OP_BUF_MAX_SIZE,
  PRIVCMD_DM_OP_MAX_NR_BUFS,
  PRIVCMD_HYPERCALL,
  PRIVCMD_MMAP_RESOURCE,
} from './abi/privcmd.ts';
import { XEN_PAGE_SIZE } from './abi/xen.ts';
import { openXenDevice, type XenDevice, xenDeviceFromFd } from './device.ts';
import { wrapSysError } from './errors.ts';
import { ForeignMemory } from './foreign-memory.ts';
import type { HypercallBuffer, HypercallTransport } from './hypercall.ts';
import { HypercallBuffers } from './hypercall-buffers.ts';
import type { DomId } from './ids.ts';

/** Linux drivers/xen/privcmd.c. */
export const PRIVCMD_PATH = '/dev/xen/privcmd';
/** Ours. */
export const PRIVCMD_REMEDY =
  'run in a Xen domain whose kernel has the privcmd driver: CONFIG_XEN_PRIVCMD, module xen-privcmd';

/** A resource of a domain, as `XENMEM_acquire_resource` names it. */
export interface XenResource {
  /** `XENMEM_resource_*`. */
  readonly type: number;
  readonly id: number;
  /** First frame. */
  readonly frame: number;
  /** Frames, > 0. */
  readonly count: number;
}

/** Maps resources of the hypervisor that are no memory of the guest. */
export interface ResourceMapper {
  /** @throws {XenSysError} NO_SUCH_DOMAIN, NOT_FOUND, NOT_PERMITTED, UNSUPPORTED, INVALID */
  mapResource(domid: DomId, resource: XenResource): Mapping;
}

/** Options of a {@link Privcmd}. */
export interface PrivcmdOptions {
  /** Where hypercall buffers come from; closed with the privcmd. */
  readonly buffers?: HypercallBuffers;
}

/**
 * The Linux driver that makes hypercalls for user space, opened once per process. Errors of
 * `hypercall` and `dmOp` are plain `SysError`s: the operation classes know what they mean.
 */
export class Privcmd implements HypercallTransport, ResourceMapper, Disposable {
  readonly device: XenDevice;
  /** Foreign mappings through this descriptor. */
  readonly memory: ForeignMemory;
  readonly #buffers: HypercallBuffers;
  // The kernel sees these by address only: the fields keep them from being collected during a call.
  readonly #dmOpTable = new Uint8Array(PRIVCMD_DM_OP_MAX_NR_BUFS * PRIVCMD_DM_OP_BUF.SIZE);
  readonly #dmOpTableView = new DataView(this.#dmOpTable.buffer);
  readonly #inFlight = new Set<readonly Uint8Array[]>();

  /** @param device - becomes this object's */
  constructor(device: XenDevice, options: PrivcmdOptions = {}) {
    this.device = device;
    this.memory = new ForeignMemory(device);
    this.#buffers = options.buffers ?? new HypercallBuffers();
  }

  /**
   * @throws {XenSysError} NO_PRIVCMD, NOT_PERMITTED
   */
  static open(path: string = PRIVCMD_PATH): Privcmd {
    return new Privcmd(openXenDevice(path, { missing: 'NO_PRIVCMD', remedy: PRIVCMD_REMEDY }));
  }

  /**
   * Uses a descriptor that is open already, as a vhost-user back-end receives it.
   *
   * @param owned - whether `close` closes it, default true
   */
  static fromFd(fd: Fd, owned = true): Privcmd {
    return new Privcmd(xenDeviceFromFd(fd, 'privcmd', owned));
  }

  get fd(): Fd {
    return this.device.fd;
  }

  get live(): boolean {
    return this.device.live;
  }

  hypercall(op: number, ...args: (number | bigint)[]): number {
    const u64 = (value: number | bigint | undefined): bigint =>
      BigInt.asUintN(64, BigInt(value ?? 0));
    const [arg0, arg1, arg2, arg3, arg4] = args;
    return this.device.ioctl(
      IOCTL_PRIVCMD_HYPERCALL,
      PRIVCMD_HYPERCALL.encode({
        op: u64(op),
        arg0: u64(arg0),
        arg1: u64(arg1),
        arg2: u64(arg2),
        arg3: u64(arg3),
        arg4: u64(arg4),
      }),
    );
  }

  allocate(size: number): HypercallBuffer {
    return this.#buffers.allocate(size);
  }

  dmOp(domid: DomId, buffers: readonly Uint8Array[]): void {
    checkInteger('buffers.length', buffers.length, 1, PRIVCMD_DM_OP_MAX_NR_BUFS);
    for (const [i, buffer] of buffers.entries()) {
      checkInteger(`buffers[${i}].length`, buffer.length, 1, PRIVCMD_DM_OP_BUF_MAX_SIZE);
      PRIVCMD_DM_OP_BUF.write(this.#dmOpTableView, i * PRIVCMD_DM_OP_BUF.SIZE, {
        uptr: addressOf(buffer),
        size: BigInt(buffer.length),
      });
    }
    this.#inFlight.add(buffers);
    try {
      const request = PRIVCMD_DM_OP.encode({
        dom: domid,
        num: buffers.length,
        ubufs: addressOf(this.#dmOpTable),
      });
      this.device.ioctl(IOCTL_PRIVCMD_DM_OP, request);
    } finally {
      this.#inFlight.delete(buffers);
    }
  }

  mapResource(domid: DomId, resource: XenResource): Mapping {
    const action = `map resource ${resource.type} of domain ${domid}`;
    try {
      const length = resource.count * XEN_PAGE_SIZE;
      const mapping = this.device.map(length, PROT_READ | PROT_WRITE);
      try {
        this.device.ioctl(
          IOCTL_PRIVCMD_MMAP_RESOURCE,
          PRIVCMD_MMAP_RESOURCE.encode({
            dom: domid,
            type: resource.type,
            id: resource.id,
            idx: resource.frame,
            num: BigInt(resource.count),
            addr: mapping.pointer,
          }),
        );
      } catch (error) {
        mapping.close();
        throw error;
      }
      return mapping;
    } catch (error) {
      throw wrapSysError(error, action, { domid });
    }
  }

  /**
   * Gives up every power but the ones over one domain, for good: afterwards `dmOp`, foreign mappings
   * and resources work for `domid` only and other hypercalls not at all.
   *
   * @throws {XenSysError} INVALID when it is restricted to another domain already
   */
  restrict(domid: DomId): void {
    try {
      this.device.ioctl(IOCTL_PRIVCMD_RESTRICT, Uint16Array.of(domid));
    } catch (error) {
      throw wrapSysError(error, `restrict privcmd to domain ${domid}`, { domid });
    }
  }

  /** Idempotent. Mappings stay. */
  close(): void {
    this.#buffers.close();
    this.device.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
