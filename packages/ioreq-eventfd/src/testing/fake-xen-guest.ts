import type { IrqLine } from '@node-vmm/vm-device';
import type { AccessPlace, GuestUnderTest, VmComplianceContext } from '@node-vmm/vm-device/testing';
import type { FakeDomain, FakeXen } from '@node-vmm/xen-sys/testing';
import { IOREQ_TYPE_COPY, IOREQ_TYPE_PIO } from '../ioreq-layout.ts';
import type { IrqKind } from '../xen-interrupts.ts';

/** A guest of a fake Xen, as the suite of `@node-vmm/vm-device/testing` needs it. */
export class FakeXenGuest implements GuestUnderTest {
  /** Which interrupts it has. */
  readonly kind: IrqKind;
  readonly #fake: FakeXen;
  readonly #domain: FakeDomain;

  constructor(fake: FakeXen, domain: FakeDomain) {
    this.kind = fake.arch === 'arm64' ? 'spi' : 'isa';
    this.#fake = fake;
    this.#domain = domain;
  }

  read(address: bigint, size: number, place?: AccessPlace): Promise<bigint> {
    return this.#access(address, size, undefined, place);
  }

  async write(address: bigint, size: number, value: bigint, place?: AccessPlace): Promise<void> {
    await this.#access(address, size, value, place);
  }

  #access(
    address: bigint,
    size: number,
    value: bigint | undefined,
    { vcpu = 0, space = 'memory' }: AccessPlace = {},
  ): Promise<bigint> {
    const written = value === undefined ? {} : { value };
    const type = space === 'port' ? IOREQ_TYPE_PIO : IOREQ_TYPE_COPY;
    return this.#domain.access({ address, size, vcpu, type, ...written }).completed;
  }

  async interrupt(irq: IrqLine): Promise<void> {
    while (!this.takeInterrupt(irq)) await new Promise(setImmediate);
  }

  takeInterrupt(irq: IrqLine): boolean {
    const { interrupts } = this.#domain;
    const taken = interrupts.take(this.kind, irq);
    if (taken) interrupts.end(this.kind, irq);
    return taken;
  }

  /**
   * What the suite is to know of it.
   *
   * @param kernelAssisted - whether ioeventfds are the kernel's; an ISA line is never left to it
   */
  context(irq: IrqLine, kernelAssisted: boolean): Omit<VmComplianceContext, 'vm'> {
    const arm = this.kind === 'spi';
    return {
      guest: this,
      base: 0x200_0000n,
      ...(arm ? {} : { port: 0x600n }),
      irq,
      irqSharing: arm || this.#domain.interrupts.levels.has(irq),
      vcpus: this.#domain.vcpus,
      kernelAssisted,
      interruptsAssisted: arm && kernelAssisted,
    };
  }

  /** Nothing of those who served it is left. @throws {Error} when something is */
  checkReleased(): void {
    const left = {
      servers: this.#domain.servers.size,
      mappings: this.#fake.privcmd.openMappings,
      devices: this.#fake.eventDevices.filter(({ live }) => live).length,
    };
    if (Object.values(left).some((count) => count > 0)) throw new Error(JSON.stringify(left));
  }
}
