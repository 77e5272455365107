export { ABI_HEADERS } from './abi-headers.ts';
export { DOM0, debianTools, dom0RootFileSystem, type ToolsOrigin } from './dom0.ts';
export { GUESTS } from './guest.ts';
export { hvmBoot } from './hvm-boot.ts';
export { KERNELS } from './kernel.ts';
export { KOFFI_NATIVE, NPM_NODE } from './npm-node.ts';
export { vhostDeviceRng } from './vhost-device-rng.ts';
export { XEN_ARM64, XEN_ARM64_CONFIG, XEN_X86 } from './xen.ts';
export { XEN_4_17, XEN_4_20, XEN_SERIES, type XenSeries } from './xen-series.ts';
