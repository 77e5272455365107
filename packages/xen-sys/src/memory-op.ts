import {
  XEN_MEMORY_DOMAIN,
  XENMEM_maximum_gpfn,
  XENMEM_maximum_reservation,
} from './abi/memory.ts';
import { __HYPERVISOR_memory_op } from './abi/xen.ts';
import { wrapSysError } from './errors.ts';
import type { HypercallTransport } from './hypercall.ts';
import type { DomId } from './ids.ts';

/**
 * The highest guest frame that a domain has anything at (`XENMEM_maximum_gpfn`): RAM, but also
 * special pages above it.
 *
 * @throws {XenSysError} NO_SUCH_DOMAIN, NOT_PERMITTED (a restricted descriptor makes no hypercalls)
 */
export function maximumGpfn(transport: HypercallTransport, domid: DomId): bigint {
  return askOfDomain(transport, domid, XENMEM_maximum_gpfn, 'the highest frame');
}

/**
 * The most pages that a domain may have (`XENMEM_maximum_reservation`), RAM and all else: the toolstack's
 * word, which the guest cannot change. Who may ask is who may ask for the highest frame.
 *
 * @throws {XenSysError} NO_SUCH_DOMAIN, NOT_PERMITTED (a restricted descriptor makes no hypercalls)
 */
export function maximumReservation(transport: HypercallTransport, domid: DomId): bigint {
  return askOfDomain(transport, domid, XENMEM_maximum_reservation, 'the reservation');
}

function askOfDomain(
  transport: HypercallTransport,
  domid: DomId,
  op: number,
  what: string,
): bigint {
  try {
    using argument = transport.allocate(XEN_MEMORY_DOMAIN.SIZE);
    argument.bytes.set(XEN_MEMORY_DOMAIN.encode({ domid }));
    return BigInt(transport.hypercall(__HYPERVISOR_memory_op, op, argument.pointer));
  } catch (error) {
    throw wrapSysError(error, `ask for ${what} of domain ${domid}`, { domid });
  }
}
