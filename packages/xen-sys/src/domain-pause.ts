import { EACCES, SysError } from '@node-vmm/vmm-sys-util';
import {
  XEN_DOMCTL,
  XEN_DOMCTL_INTERFACE_VERSIONS,
  XEN_DOMCTL_pausedomain,
  XEN_DOMCTL_unpausedomain,
} from './abi/domctl.ts';
import { __HYPERVISOR_domctl } from './abi/xen.ts';
import { wrapSysError } from './errors.ts';
import type { HypercallTransport } from './hypercall.ts';
import type { DomId } from './ids.ts';

/** A domain that stands still until it is let go. */
export interface Pause extends Disposable {
  /** Lets the domain run, unless somebody else has paused it too. Idempotent, throws nothing. */
  release(): void;
}

/**
 * Pauses domains. Xen counts pauses: one of ours and the toolstack's do not get in each other's way.
 *
 * Domain control is not a stable interface, but these two operations have been the same in every
 * release; only the version number that must be named differs, and is found by trying.
 */
export class DomainPauser {
  readonly #transport: HypercallTransport;
  #version: number | undefined;

  constructor(transport: HypercallTransport) {
    this.#transport = transport;
  }

  /**
   * @throws {XenSysError} NO_SUCH_DOMAIN, or NOT_PERMITTED outside the control domain
   */
  pause(domid: DomId): Pause {
    this.#control(domid, XEN_DOMCTL_pausedomain, 'pause');
    let paused = true;
    const release = (): void => {
      if (!paused) return;
      paused = false;
      try {
        this.#control(domid, XEN_DOMCTL_unpausedomain, 'unpause');
      } catch {
        // The domain is gone: there is nothing to let run.
      }
    };
    return { release, [Symbol.dispose]: release };
  }

  #control(domid: DomId, cmd: number, verb: string): void {
    const versions = this.#version === undefined ? XEN_DOMCTL_INTERFACE_VERSIONS : [this.#version];
    let refused: unknown;
    for (const version of versions) {
      try {
        using argument = this.#transport.allocate(XEN_DOMCTL.SIZE);
        argument.bytes.set(XEN_DOMCTL.encode({ cmd, interface_version: version, domain: domid }));
        this.#transport.hypercall(__HYPERVISOR_domctl, argument.pointer);
        this.#version = version;
        return;
      } catch (error) {
        if (!SysError.is(error) || error.errno !== EACCES) {
          throw wrapSysError(error, `${verb} domain ${domid}`, { domid });
        }
        refused = error;
      }
    }
    throw wrapSysError(refused, `${verb} domain ${domid}`, {
      domid,
      hint: 'this release of Xen has an unknown domctl version',
    });
  }
}
