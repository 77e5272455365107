import { XEN_MEMORY_DOMAIN, XENMEM_maximum_gpfn } from './abi/memory.ts';
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
  try {
    using argument = transport.allocate(XEN_MEMORY_DOMAIN.SIZE);
    argument.bytes.set(XEN_MEMORY_DOMAIN.encode({ domid }));
    return BigInt(
      transport.hypercall(__HYPERVISOR_memory_op, XENMEM_maximum_gpfn, argument.pointer),
    );
  } catch (error) {
    throw wrapSysError(error, `ask for the highest frame of domain ${domid}`, { domid });
  }
}
