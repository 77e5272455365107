import type { Mapping } from '@node-vmm/vmm-sys-util';
import { IOREQS_PER_PAGE } from './abi/ioreq.ts';
import {
  XENMEM_resource_ioreq_server,
  XENMEM_resource_ioreq_server_frame_ioreq,
} from './abi/memory.ts';
import { XenSysError } from './errors.ts';
import type { DomId, IoServId } from './ids.ts';
import type { ResourceMapper } from './privcmd.ts';

/**
 * Maps the page in which an IOREQ server finds its requests: one `struct ioreq` per vCPU.
 *
 * @param vcpus - of the domain, as `nrVcpus` tells
 * @throws {XenSysError} TOO_MANY_VCPUS, NOT_FOUND, NO_SUCH_DOMAIN, NOT_PERMITTED, UNSUPPORTED
 */
export function mapIoreqPage(
  mapper: ResourceMapper,
  domid: DomId,
  id: IoServId,
  vcpus: number,
): Mapping {
  if (vcpus > IOREQS_PER_PAGE) {
    throw new XenSysError(
      'TOO_MANY_VCPUS',
      `Cannot serve domain ${domid}: it has ${vcpus} vCPUs, an ioreq page has ${IOREQS_PER_PAGE} slots`,
      { domid },
    );
  }
  return mapper.mapResource(domid, {
    type: XENMEM_resource_ioreq_server,
    id,
    frame: XENMEM_resource_ioreq_server_frame_ioreq(0),
    count: 1,
  });
}
