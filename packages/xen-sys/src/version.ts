import {
  XEN_CAPABILITIES_INFO_LEN,
  XEN_EXTRAVERSION_LEN,
  XENVER_capabilities,
  XENVER_extraversion,
  XENVER_version,
} from './abi/version.ts';
import { __HYPERVISOR_xen_version } from './abi/xen.ts';
import { wrapSysError } from './errors.ts';
import type { HypercallTransport } from './hypercall.ts';

/** Which hypervisor this is. */
export interface XenVersion {
  readonly major: number;
  readonly minor: number;
  /** What follows the minor number: `.7`, `-rc1`. */
  readonly extra: string;
  /** `xen-3.0-x86_64`, `xen-3.0-aarch64` and so on: the kinds of guests it runs. */
  readonly capabilities: readonly string[];
}

function ask(transport: HypercallTransport, command: number, size: number): string {
  using reply = transport.allocate(size);
  transport.hypercall(__HYPERVISOR_xen_version, command, reply.pointer);
  const end = reply.bytes.indexOf(0);
  return new TextDecoder().decode(reply.bytes.slice(0, end < 0 ? size : end));
}

/**
 * Asks the hypervisor for its version.
 *
 * @throws {XenSysError} NOT_PERMITTED on a restricted descriptor
 */
export function xenVersion(transport: HypercallTransport): XenVersion {
  try {
    const version = transport.hypercall(__HYPERVISOR_xen_version, XENVER_version, 0);
    const capabilities = ask(transport, XENVER_capabilities, XEN_CAPABILITIES_INFO_LEN);
    return {
      major: version >>> 16,
      minor: version & 0xffff,
      extra: ask(transport, XENVER_extraversion, XEN_EXTRAVERSION_LEN),
      capabilities: capabilities.split(' ').filter((word) => word !== ''),
    };
  } catch (error) {
    throw wrapSysError(error, 'ask for the version of Xen');
  }
}
