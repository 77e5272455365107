// xen/include/public/version.h and features.h.
import { struct, u32 } from '@node-vmm/vmm-sys-util';

/** xen/include/public/version.h. */
export const XENVER_version = 0;
/** xen/include/public/version.h. */
export const XENVER_extraversion = 1;
/** xen/include/public/version.h. */
export const XENVER_capabilities = 3;
/** xen/include/public/version.h. */
export const XENVER_changeset = 4;
/** xen/include/public/version.h. */
export const XENVER_get_features = 6;

/** xen/include/public/version.h. */
export const XEN_EXTRAVERSION_LEN = 16;
/** xen/include/public/version.h. */
export const XEN_CAPABILITIES_INFO_LEN = 1024;
/** xen/include/public/version.h. */
export const XEN_CHANGESET_INFO_LEN = 64;

/** xen/include/public/version.h. */
export const XEN_FEATURE_INFO = struct(
  'xen_feature_info',
  { submap_idx: u32(0), submap: u32(4) },
  { size: 8 },
);

/** xen/include/public/version.h. */
export const XENFEAT_auto_translated_physmap = 2;
/** xen/include/public/version.h. */
export const XENFEAT_dom0 = 11;
