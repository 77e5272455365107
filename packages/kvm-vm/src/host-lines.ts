import type { Assignment, KvmVm } from '@node-vmm/kvm-sys';
import type { IrqLine } from '@node-vmm/vm-device';
import { EventFd } from '@node-vmm/vmm-sys-util';
import { DEVICE_LINES } from './kvm-interrupts.ts';

/** The lines of a machine as eventfds, by which any thread raises them: the kernel makes an edge of each signal. */
export class HostLines {
  readonly eventfds: ReadonlyMap<IrqLine, EventFd>;
  readonly #assignments: Assignment[] = [];

  /** @throws {KvmSysError} @throws {SysError} */
  constructor(vm: KvmVm) {
    const eventfds = new Map<IrqLine, EventFd>();
    this.eventfds = eventfds;
    try {
      for (const gsi of DEVICE_LINES) {
        const eventfd = EventFd.create();
        eventfds.set(gsi, eventfd);
        this.#assignments.push(vm.irqfd({ gsi, eventfd }));
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** When nobody signals them any more, and before the machine's VM is closed. Idempotent. */
  close(): void {
    for (const assignment of this.#assignments.splice(0)) assignment.close();
    for (const eventfd of this.eventfds.values()) eventfd.close();
  }
}
