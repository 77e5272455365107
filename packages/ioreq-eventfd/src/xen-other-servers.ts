import { asIoServId, type DeviceModelOps, type IoServId, XenSysError } from '@node-vmm/xen-sys';

/** `MAX_NR_IOREQ_SERVERS` of xen/arch/{arm,x86}/include/asm: the most that a domain can have. */
const MAX_NR_IOREQ_SERVERS = 8;

/**
 * Whether a guest has IOREQ servers besides one: then somebody else serves devices of it. Which
 * addresses those claim Xen does not tell. Where several claim one, the server with the highest ID gets
 * the access; IDs are given from the lowest that is free.
 *
 * @throws {XenSysError} NO_SUCH_DOMAIN
 */
export function hasOtherServers(model: DeviceModelOps, own: IoServId): boolean {
  for (let id = 0; id < MAX_NR_IOREQ_SERVERS; id++) {
    if (id !== own && hasServer(model, asIoServId(id))) return true;
  }
  return false;
}

function hasServer(model: DeviceModelOps, id: IoServId): boolean {
  try {
    model.getIoreqServerInfo(id);
    return true;
  } catch (error) {
    if (XenSysError.is(error, 'NOT_FOUND')) return false;
    // One that another domain created.
    if (XenSysError.is(error, 'NOT_PERMITTED')) return true;
    throw error;
  }
}
