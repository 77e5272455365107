import { HVMOP_get_param, XEN_HVM_PARAM } from './abi/hvm.ts';
import { __HYPERVISOR_hvm_op } from './abi/xen.ts';
import { wrapSysError } from './errors.ts';
import type { HypercallTransport } from './hypercall.ts';
import type { DomId } from './ids.ts';

/**
 * A parameter of a domain that is no PV domain (`HVMOP_get_param`).
 *
 * @param index - `HVM_PARAM_*`
 * @throws {XenSysError} NO_SUCH_DOMAIN, INVALID for a PV domain or an unknown parameter,
 * NOT_PERMITTED (a restricted descriptor makes no hypercalls)
 */
export function hvmParam(transport: HypercallTransport, domid: DomId, index: number): bigint {
  try {
    using argument = transport.allocate(XEN_HVM_PARAM.SIZE);
    argument.bytes.set(XEN_HVM_PARAM.encode({ domid, index }));
    transport.hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, argument.pointer);
    return XEN_HVM_PARAM.decode(argument.bytes).value;
  } catch (error) {
    throw wrapSysError(error, `ask for HVM parameter ${index} of domain ${domid}`, { domid });
  }
}
