import { checkInteger, checkU64, EAGAIN, hex, SysError } from '@node-vmm/vmm-sys-util';
import {
  HVM_IOREQSRV_BUFIOREQ_OFF,
  XEN_DM_OP_CREATE_IOREQ_SERVER,
  XEN_DM_OP_DESTROY_IOREQ_SERVER,
  XEN_DM_OP_GET_IOREQ_SERVER_INFO,
  XEN_DM_OP_INJECT_MSI,
  XEN_DM_OP_IOREQ_SERVER_RANGE,
  XEN_DM_OP_NR_VCPUS,
  XEN_DM_OP_SET_IOREQ_SERVER_STATE,
  XEN_DM_OP_U_OFFSET,
  XEN_DMOP_create_ioreq_server,
  XEN_DMOP_destroy_ioreq_server,
  XEN_DMOP_get_ioreq_server_info,
  XEN_DMOP_IO_RANGE_MEMORY,
  XEN_DMOP_IO_RANGE_PCI,
  XEN_DMOP_IO_RANGE_PORT,
  XEN_DMOP_inject_msi,
  XEN_DMOP_map_io_range_to_ioreq_server,
  XEN_DMOP_no_gfns,
  XEN_DMOP_nr_vcpus,
  XEN_DMOP_set_ioreq_server_state,
  XEN_DMOP_unmap_io_range_from_ioreq_server,
} from './abi/dm-op.ts';
import { encodeDmOp, encodeSetIrqLevel, encodeSetIsaIrqLevel } from './dm-op-codec.ts';
import { codeOfErrno, wrapSysError, XenSysError, type XenSysErrorCode } from './errors.ts';
import type { HypercallTransport } from './hypercall.ts';
import { asIoServId, type DomId, type IoServId } from './ids.ts';

/** A range of accesses that go to an IOREQ server. Ends are inclusive, as in the hypercall. */
export interface IoRange {
  readonly type: 'port' | 'memory' | 'pci';
  /** Port, guest physical address, or `XEN_DMOP_PCI_SBDF(...)`. */
  readonly start: bigint;
  readonly end: bigint;
}

/** What the hypervisor tells of an IOREQ server. */
export interface IoreqServerInfo {
  /** Remote port of buffered ioreqs; meaningless for a server without them. */
  readonly bufioreqPort: number;
}

/** What a device model may do to one domain. */
export interface DeviceModelOps {
  readonly domid: DomId;
  /** Creates a server without buffered ioreqs, disabled. */
  createIoreqServer(): IoServId;
  /** Destroys a server and its ranges. */
  destroyIoreqServer(id: IoServId): void;
  getIoreqServerInfo(id: IoServId): IoreqServerInfo;
  /** @throws {XenSysError} IN_USE when the range overlaps another of this server */
  mapIoRangeToIoreqServer(id: IoServId, range: IoRange): void;
  unmapIoRangeFromIoreqServer(id: IoServId, range: IoRange): void;
  /** Event channel ports in the ioreq page mean something only once the server is enabled. */
  setIoreqServerState(id: IoServId, enabled: boolean): void;
  /** Arm. @throws {XenSysError} UNSUPPORTED on x86 */
  setIrqLevel(irq: number, level: boolean): void;
  /** x86. @throws {XenSysError} UNSUPPORTED on Arm */
  setIsaIrqLevel(irq: number, level: boolean): void;
  /** x86. @param address - 0xfeexxxxx */
  injectMsi(address: bigint, data: number): void;
  /** vCPUs that the domain was created with. */
  nrVcpus(): number;
}

/** Times that an operation which the hypervisor could not finish is tried again. */
const ATTEMPTS = 16;

const RANGE_TYPES = {
  port: XEN_DMOP_IO_RANGE_PORT,
  memory: XEN_DMOP_IO_RANGE_MEMORY,
  pci: XEN_DMOP_IO_RANGE_PCI,
} as const;

/**
 * Device model operations on one domain (`HYPERVISOR_dm_op`). All throw {@link XenSysError}:
 * NO_SUCH_DOMAIN, NOT_PERMITTED, UNSUPPORTED, NOT_FOUND for an unknown server, IN_USE, INVALID.
 *
 * @see xen/include/public/hvm/dm_op.h
 */
export class DeviceModel implements DeviceModelOps {
  readonly domid: DomId;
  readonly #transport: HypercallTransport;

  constructor(transport: HypercallTransport, domid: DomId) {
    this.#transport = transport;
    this.domid = domid;
  }

  createIoreqServer(): IoServId {
    const op = encodeDmOp(XEN_DMOP_create_ioreq_server, XEN_DM_OP_CREATE_IOREQ_SERVER, {
      handle_bufioreq: HVM_IOREQSRV_BUFIOREQ_OFF,
    });
    const hint = 'on Arm the hypervisor needs CONFIG_IOREQ_SERVER';
    const view = this.#issue(op, 'create an IOREQ server', hint);
    return asIoServId(XEN_DM_OP_CREATE_IOREQ_SERVER.get(view, XEN_DM_OP_U_OFFSET, 'id'));
  }

  destroyIoreqServer(id: IoServId): void {
    const op = encodeDmOp(XEN_DMOP_destroy_ioreq_server, XEN_DM_OP_DESTROY_IOREQ_SERVER, { id });
    this.#issue(op, `destroy IOREQ server ${id}`);
  }

  getIoreqServerInfo(id: IoServId): IoreqServerInfo {
    const op = encodeDmOp(XEN_DMOP_get_ioreq_server_info, XEN_DM_OP_GET_IOREQ_SERVER_INFO, {
      id,
      flags: XEN_DMOP_no_gfns,
    });
    const view = this.#issue(op, `ask about IOREQ server ${id}`);
    return {
      bufioreqPort: XEN_DM_OP_GET_IOREQ_SERVER_INFO.get(view, XEN_DM_OP_U_OFFSET, 'bufioreq_port'),
    };
  }

  mapIoRangeToIoreqServer(id: IoServId, range: IoRange): void {
    this.#range(XEN_DMOP_map_io_range_to_ioreq_server, 'map', id, range);
  }

  unmapIoRangeFromIoreqServer(id: IoServId, range: IoRange): void {
    this.#range(XEN_DMOP_unmap_io_range_from_ioreq_server, 'unmap', id, range);
  }

  #range(op: number, verb: string, id: IoServId, range: IoRange): void {
    checkU64('start', range.start);
    checkU64('end', range.end);
    if (range.end < range.start) {
      throw new RangeError(`"end" expected at least ${hex(range.start)}, got ${hex(range.end)}`);
    }
    const { start, end } = range;
    const type = RANGE_TYPES[range.type];
    const encoded = encodeDmOp(op, XEN_DM_OP_IOREQ_SERVER_RANGE, { id, type, start, end });
    this.#issue(encoded, `${verb} ${range.type} range ${hex(start)}..${hex(end)}`);
  }

  setIoreqServerState(id: IoServId, enabled: boolean): void {
    const op = encodeDmOp(XEN_DMOP_set_ioreq_server_state, XEN_DM_OP_SET_IOREQ_SERVER_STATE, {
      id,
      enabled: enabled ? 1 : 0,
    });
    this.#issue(op, `${enabled ? 'enable' : 'disable'} IOREQ server ${id}`);
  }

  setIrqLevel(irq: number, level: boolean): void {
    const hint = 'only Arm has it; x86 guests take ISA interrupts or MSIs';
    const invalid = 'the guest has no such line: see nr_spis and virtio in its configuration';
    this.#issue(encodeSetIrqLevel(irq, level), `set interrupt ${irq}`, hint, invalid);
  }

  setIsaIrqLevel(irq: number, level: boolean): void {
    const hint = 'only x86 HVM guests have ISA interrupts';
    this.#issue(encodeSetIsaIrqLevel(irq, level), `set ISA interrupt ${irq}`, hint);
  }

  injectMsi(address: bigint, data: number): void {
    const op = encodeDmOp(XEN_DMOP_inject_msi, XEN_DM_OP_INJECT_MSI, {
      addr: checkU64('address', address),
      data: checkInteger('data', data, 0, 0xffff_ffff),
    });
    this.#issue(op, `inject an MSI at ${hex(address)}`, 'only x86 HVM guests have MSIs');
  }

  nrVcpus(): number {
    const op = encodeDmOp(XEN_DMOP_nr_vcpus, XEN_DM_OP_NR_VCPUS, {});
    const hint = 'the hypervisor is too old, or on Arm lacks CONFIG_IOREQ_SERVER';
    const view = this.#issue(op, 'count vCPUs', hint);
    return XEN_DM_OP_NR_VCPUS.get(view, XEN_DM_OP_U_OFFSET, 'vcpus');
  }

  #issue(
    op: Uint8Array<ArrayBuffer>,
    action: string,
    unsupported?: string,
    invalid?: string,
  ): DataView {
    for (let attempt = 1; ; attempt++) {
      try {
        this.#transport.dmOp(this.domid, [op]);
        return new DataView(op.buffer);
      } catch (error) {
        const retry = SysError.is(error) && error.errno === EAGAIN && attempt < ATTEMPTS;
        if (!retry) throw this.#wrap(error, action, { UNSUPPORTED: unsupported, INVALID: invalid });
      }
    }
  }

  #wrap(
    error: unknown,
    action: string,
    hints: Partial<Record<XenSysErrorCode, string | undefined>>,
  ): unknown {
    if (!SysError.is(error)) return error;
    const what = `${action} for domain ${this.domid}`;
    // -EEXIST is what the hypervisor says of a range that overlaps another.
    if (error.code === 'EEXIST') {
      const context = { domid: this.domid, errno: error.errno };
      return new XenSysError('IN_USE', `Cannot ${what}: it is claimed already`, context, {
        cause: error,
      });
    }
    const hint = hints[codeOfErrno(error.errno)];
    return wrapSysError(error, what, {
      domid: this.domid,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}
