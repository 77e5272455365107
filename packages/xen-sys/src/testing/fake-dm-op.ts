import { EEXIST, EINVAL, ENOENT, ENOSPC, EOPNOTSUPP } from '@node-vmm/vmm-sys-util';
import {
  XEN_DM_OP,
  XEN_DM_OP_CREATE_IOREQ_SERVER,
  XEN_DM_OP_DESTROY_IOREQ_SERVER,
  XEN_DM_OP_GET_IOREQ_SERVER_INFO,
  XEN_DM_OP_INJECT_MSI,
  XEN_DM_OP_IOREQ_SERVER_RANGE,
  XEN_DM_OP_NR_VCPUS,
  XEN_DM_OP_SET_IOREQ_SERVER_STATE,
  XEN_DM_OP_SET_IRQ_LEVEL,
  XEN_DM_OP_SET_ISA_IRQ_LEVEL,
  XEN_DM_OP_U_OFFSET,
  XEN_DMOP_create_ioreq_server,
  XEN_DMOP_destroy_ioreq_server,
  XEN_DMOP_get_ioreq_server_info,
  XEN_DMOP_inject_msi,
  XEN_DMOP_map_io_range_to_ioreq_server,
  XEN_DMOP_nr_vcpus,
  XEN_DMOP_set_ioreq_server_state,
  XEN_DMOP_set_irq_level,
  XEN_DMOP_set_isa_irq_level,
  XEN_DMOP_unmap_io_range_from_ioreq_server,
} from '../abi/dm-op.ts';
import type { IoRange } from '../device-model.ts';
import { asIoServId } from '../ids.ts';
import { kernelError } from './fake-device.ts';
import { type FakeDomain, FakeIoreqServer } from './fake-domain.ts';
import type { FakeXen } from './fake-xen.ts';

const U = XEN_DM_OP_U_OFFSET;
/** As MAX_NR_IOREQ_SERVERS in xen/arch. */
const MAX_SERVERS = 8;
const RANGE_TYPES = ['port', 'memory', 'pci'] as const;

const NAMES: Readonly<Record<number, string>> = {
  [XEN_DMOP_create_ioreq_server]: 'XEN_DMOP_create_ioreq_server',
  [XEN_DMOP_get_ioreq_server_info]: 'XEN_DMOP_get_ioreq_server_info',
  [XEN_DMOP_map_io_range_to_ioreq_server]: 'XEN_DMOP_map_io_range_to_ioreq_server',
  [XEN_DMOP_unmap_io_range_from_ioreq_server]: 'XEN_DMOP_unmap_io_range_from_ioreq_server',
  [XEN_DMOP_set_ioreq_server_state]: 'XEN_DMOP_set_ioreq_server_state',
  [XEN_DMOP_destroy_ioreq_server]: 'XEN_DMOP_destroy_ioreq_server',
  [XEN_DMOP_set_isa_irq_level]: 'XEN_DMOP_set_isa_irq_level',
  [XEN_DMOP_inject_msi]: 'XEN_DMOP_inject_msi',
  [XEN_DMOP_set_irq_level]: 'XEN_DMOP_set_irq_level',
  [XEN_DMOP_nr_vcpus]: 'XEN_DMOP_nr_vcpus',
};

/**
 * What the hypervisor does for a device model operation, with its error numbers. Replies are written
 * into `bytes`.
 *
 * @throws {SysError}
 */
export function fakeDmOp(xen: FakeXen, domain: FakeDomain, bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const op = XEN_DM_OP.get(view, 0, 'op');
  const name = NAMES[op];
  if (name === undefined) throw kernelError(`dm_op ${op}`, EOPNOTSUPP);
  xen.maybeFail(name);
  const fail = (errno: number): never => {
    throw kernelError(name, errno);
  };
  const server = (id: number): FakeIoreqServer =>
    domain.servers.get(asIoServId(id)) ?? fail(ENOENT);
  const arm = xen.arch === 'arm64';

  switch (op) {
    case XEN_DMOP_create_ioreq_server: {
      if (domain.servers.size === MAX_SERVERS) fail(ENOSPC);
      let id = 0;
      while (domain.servers.has(asIoServId(id))) id++;
      const ports = Array.from({ length: domain.vcpus }, () => xen.ports.offer(domain.domid));
      domain.servers.set(asIoServId(id), new FakeIoreqServer(asIoServId(id), ports));
      XEN_DM_OP_CREATE_IOREQ_SERVER.set(view, U, 'id', id);
      break;
    }
    case XEN_DMOP_destroy_ioreq_server: {
      const { id } = XEN_DM_OP_DESTROY_IOREQ_SERVER.read(view, U);
      server(id).close();
      domain.servers.delete(asIoServId(id));
      break;
    }
    case XEN_DMOP_get_ioreq_server_info:
      server(XEN_DM_OP_GET_IOREQ_SERVER_INFO.get(view, U, 'id'));
      break;
    case XEN_DMOP_map_io_range_to_ioreq_server:
    case XEN_DMOP_unmap_io_range_from_ioreq_server: {
      const values = XEN_DM_OP_IOREQ_SERVER_RANGE.read(view, U);
      const type = RANGE_TYPES[values.type] ?? fail(EINVAL);
      const range: IoRange = { type, start: values.start, end: values.end };
      if (range.end < range.start) fail(EINVAL);
      const { ranges } = server(values.id);
      if (op === XEN_DMOP_map_io_range_to_ioreq_server) {
        if (ranges.some((known) => overlap(known, range))) fail(EEXIST);
        ranges.push(range);
      } else {
        const at = ranges.findIndex(
          (known) => known.type === type && known.start === range.start && known.end === range.end,
        );
        if (at < 0) fail(ENOENT);
        ranges.splice(at, 1);
      }
      break;
    }
    case XEN_DMOP_set_ioreq_server_state: {
      const { id, enabled } = XEN_DM_OP_SET_IOREQ_SERVER_STATE.read(view, U);
      server(id).enabled = enabled !== 0;
      break;
    }
    case XEN_DMOP_set_irq_level: {
      if (!arm) fail(EOPNOTSUPP);
      const { irq, level } = XEN_DM_OP_SET_IRQ_LEVEL.read(view, U);
      domain.interrupt({ kind: 'spi', irq, level: level !== 0 });
      break;
    }
    case XEN_DMOP_set_isa_irq_level: {
      if (arm) fail(EOPNOTSUPP);
      const { isa_irq, level } = XEN_DM_OP_SET_ISA_IRQ_LEVEL.read(view, U);
      domain.interrupt({ kind: 'isa', irq: isa_irq, level: level !== 0 });
      break;
    }
    case XEN_DMOP_inject_msi:
      if (arm) fail(EOPNOTSUPP);
      domain.interrupt({
        kind: 'msi',
        irq: XEN_DM_OP_INJECT_MSI.get(view, U, 'data'),
        level: true,
      });
      break;
    case XEN_DMOP_nr_vcpus:
      XEN_DM_OP_NR_VCPUS.set(view, U, 'vcpus', domain.vcpus);
      break;
  }
}

function overlap(a: IoRange, b: IoRange): boolean {
  return a.type === b.type && a.start <= b.end && b.start <= a.end;
}
