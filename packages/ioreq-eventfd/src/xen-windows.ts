import { type AddressRange, describeRange } from '@node-vmm/vm-device';
import type { Logger } from '@node-vmm/vmm-sys-util';
import { type DomId, type ForeignMapper, GUEST_LAYOUTS } from '@node-vmm/xen-sys';
import { hypervisor } from './xen-hypervisor.ts';
import type { IrqKind } from './xen-interrupts.ts';
import type { IoreqServer } from './xen-ioreq-server.ts';
import { checkPorts } from './xen-port-check.ts';
import { checkWindow } from './xen-window-check.ts';

/** What {@link XenWindows} work with. */
export interface XenWindowsComponents {
  readonly domid: DomId;
  readonly server: IoreqServer;
  /** To see where the guest has memory. */
  readonly memory: ForeignMapper;
  /** With its interrupts the guest has its layout. */
  readonly irqs: IrqKind;
  readonly logger: Logger;
}

/** The windows of an IOREQ server: those mapped here, and those that another process left to this one. */
export class XenWindows {
  readonly #components: XenWindowsComponents;
  readonly #mapped = new Set<AddressRange>();
  /** Windows that it had before and that nobody has mapped again. */
  readonly #left: AddressRange[];

  /** @param left - those of the server that are there still */
  constructor(components: XenWindowsComponents, left: readonly AddressRange[]) {
    this.#components = components;
    this.#left = [...left];
  }

  /** Whether some of those that were left are still to be mapped again. */
  get awaited(): boolean {
    return this.#left.length > 0;
  }

  /** A copy of all that the server has. */
  get all(): AddressRange[] {
    return [...this.#mapped, ...this.#left].map((range) => ({ ...range }));
  }

  /**
   * Gives a window to the server, unless it has that already.
   *
   * @param enable - has the server hear of accesses; where it throws, the window is as it was
   * @throws {VmError} HYPERVISOR, RANGE_RESERVED, RANGE_IS_MEMORY
   */
  claim(range: AddressRange, enable: () => void): void {
    const { domid, server } = this.#components;
    const left = this.#left.findIndex((window) => sameRange(window, range));
    hypervisor(`map ${describeRange(range)} of xen:${domid}`, domid, () => {
      if (left >= 0) {
        enable();
        this.#left.splice(left, 1);
        return;
      }
      this.#check(range);
      server.map(range);
      try {
        enable();
      } catch (error) {
        server.unmap(range);
        throw error;
      }
    });
    this.#mapped.add(range);
  }

  /** Takes a window from the server. @throws {XenSysError} */
  withdraw(range: AddressRange): void {
    this.forget(range);
    this.#components.server.unmap(range);
  }

  /** The server keeps the window, for another process. */
  forget(range: AddressRange): void {
    this.#mapped.delete(range);
  }

  #check(range: AddressRange): void {
    const { domid, memory, irqs, logger } = this.#components;
    if (range.space === 'port') {
      checkPorts(range, `xen:${domid}`);
    } else {
      const { reserved } = GUEST_LAYOUTS[irqs === 'isa' ? 'x86_64' : 'arm64'];
      checkWindow({ domid, memory, reserved, logger }, range);
    }
  }
}

function sameRange(a: AddressRange, b: AddressRange): boolean {
  return a.space === b.space && a.base === b.base && a.length === b.length;
}
