// Linux include/uapi/xen/evtchn.h: ioctls of /dev/xen/evtchn.
import { _IOC_NONE, struct, u16, u32 } from '@node-vmm/vmm-sys-util';

/** Linux include/uapi/xen/evtchn.h. */
export const IOCTL_EVTCHN_BIND_INTERDOMAIN_ARG = struct(
  'ioctl_evtchn_bind_interdomain',
  { remote_domain: u32(0), remote_port: u32(4) },
  { size: 8 },
);
/** Linux include/uapi/xen/evtchn.h. */
export const IOCTL_EVTCHN_BIND_UNBOUND_PORT_ARG = struct(
  'ioctl_evtchn_bind_unbound_port',
  { remote_domain: u32(0) },
  { size: 4 },
);
/** Linux include/uapi/xen/evtchn.h. */
export const IOCTL_EVTCHN_UNBIND_ARG = struct('ioctl_evtchn_unbind', { port: u32(0) }, { size: 4 });
/** Linux include/uapi/xen/evtchn.h. */
export const IOCTL_EVTCHN_NOTIFY_ARG = struct('ioctl_evtchn_notify', { port: u32(0) }, { size: 4 });
/** Linux include/uapi/xen/evtchn.h. */
export const IOCTL_EVTCHN_RESTRICT_DOMID_ARG = struct(
  'ioctl_evtchn_restrict_domid',
  { domid: u16(0) },
  { size: 2 },
);

const TYPE = 'E';
/** Linux include/uapi/xen/evtchn.h. */
export const IOCTL_EVTCHN_BIND_INTERDOMAIN = _IOC_NONE(
  'IOCTL_EVTCHN_BIND_INTERDOMAIN',
  TYPE,
  1,
  IOCTL_EVTCHN_BIND_INTERDOMAIN_ARG.SIZE,
);
/** Linux include/uapi/xen/evtchn.h. */
export const IOCTL_EVTCHN_BIND_UNBOUND_PORT = _IOC_NONE(
  'IOCTL_EVTCHN_BIND_UNBOUND_PORT',
  TYPE,
  2,
  IOCTL_EVTCHN_BIND_UNBOUND_PORT_ARG.SIZE,
);
/** Linux include/uapi/xen/evtchn.h. */
export const IOCTL_EVTCHN_UNBIND = _IOC_NONE(
  'IOCTL_EVTCHN_UNBIND',
  TYPE,
  3,
  IOCTL_EVTCHN_UNBIND_ARG.SIZE,
);
/** Linux include/uapi/xen/evtchn.h. */
export const IOCTL_EVTCHN_NOTIFY = _IOC_NONE(
  'IOCTL_EVTCHN_NOTIFY',
  TYPE,
  4,
  IOCTL_EVTCHN_NOTIFY_ARG.SIZE,
);
/** Linux include/uapi/xen/evtchn.h. */
export const IOCTL_EVTCHN_RESET = _IOC_NONE('IOCTL_EVTCHN_RESET', TYPE, 5);
/** Linux include/uapi/xen/evtchn.h. */
export const IOCTL_EVTCHN_RESTRICT_DOMID = _IOC_NONE(
  'IOCTL_EVTCHN_RESTRICT_DOMID',
  TYPE,
  6,
  IOCTL_EVTCHN_RESTRICT_DOMID_ARG.SIZE,
);
