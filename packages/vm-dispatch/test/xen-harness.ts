import { XenVm } from '@node-vmm/ioreq-eventfd/xen';
import type { NotificationMode } from '@node-vmm/vm-device';
import type { AccessPlace, GuestUnderTest } from '@node-vmm/vm-device/testing';
import type { DispatchThread } from '@node-vmm/vm-dispatch';
import { GuestMemoryBuffer } from '@node-vmm/vm-memory/testing';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
import { asDomId, IOREQ_TYPE_COPY, IOREQ_TYPE_PIO } from '@node-vmm/xen-sys';
import { type FakeDomain, FakeXen, type FakeXenOptions } from '@node-vmm/xen-sys/testing';

export const DOMID = asDomId(7);

/** A guest of a fake Xen that a dispatch thread serves. */
export class XenBench implements Disposable {
  readonly poller = new MainPoller();
  readonly logger = new MemoryLogger();
  readonly fake: FakeXen;
  readonly domain: FakeDomain;
  readonly guest: GuestUnderTest;
  readonly kind: 'spi' | 'isa';
  readonly #thread: DispatchThread;
  readonly #vms: XenVm[] = [];
  invalidate: () => Promise<unknown> | undefined = () => undefined;

  constructor(thread: DispatchThread, options: FakeXenOptions = {}, vcpus = 4) {
    this.fake = new FakeXen({ poller: this.poller, threads: true, ...options });
    this.domain = this.fake.addDomain(DOMID, { vcpus });
    this.kind = this.fake.arch === 'arm64' ? 'spi' : 'isa';
    this.#thread = thread;
    this.guest = {
      read: (address, size, place) => this.#access(address, size, undefined, place),
      write: async (address, size, value, place) => {
        await this.#access(address, size, value, place);
      },
      interrupt: (irq) => this.interrupt(irq),
      takeInterrupt: (irq) => this.takeInterrupt(irq),
    };
  }

  vm(notification: NotificationMode = 'user', takeUp?: Awaited<ReturnType<XenVm['keep']>>): XenVm {
    const { poller, logger } = this;
    const memory = GuestMemoryBuffer.create([]);
    const vm = XenVm.create(
      {
        xen: this.fake.host(),
        memory: () => memory,
        poller,
        logger,
        host: this.#thread,
        invalidate: () => this.invalidate(),
      },
      {
        domid: DOMID,
        notification,
        irqs: this.kind,
        answerLimit: 30_000,
        ...(takeUp === undefined ? {} : { takeUp }),
      },
    );
    this.#vms.push(vm);
    return vm;
  }

  #access(
    address: bigint,
    size: number,
    value: bigint | undefined,
    { vcpu = 0, space = 'memory' }: AccessPlace = {},
  ): Promise<bigint> {
    const written = value === undefined ? {} : { value };
    const type = space === 'port' ? IOREQ_TYPE_PIO : IOREQ_TYPE_COPY;
    return this.domain.access({ address, size, vcpu, type, ...written }).completed;
  }

  /** An access during which this thread does nothing else: its event loop does not turn. */
  block(address: bigint, value?: bigint): number {
    const written = value === undefined ? {} : { value };
    const access = this.domain.access({ address, size: 4, ...written });
    this.blockUntil(() => access.done);
    return Number(access.value);
  }

  /** As {@link block}. */
  blockUntil(so: () => boolean): void {
    const cell = new Int32Array(new SharedArrayBuffer(4));
    while (!so()) {
      Atomics.wait(cell, 0, 0, 1);
      this.fake.pump();
    }
  }

  async interrupt(irq: number): Promise<void> {
    while (!this.takeInterrupt(irq)) await new Promise(setImmediate);
  }

  takeInterrupt(irq: number): boolean {
    const { interrupts } = this.domain;
    const taken = interrupts.take(this.kind, irq);
    if (taken) interrupts.end(this.kind, irq);
    return taken;
  }

  /** Nothing of the guest is left. @throws {Error} when something is */
  checkReleased(): void {
    const { fake, domain } = this;
    const left = {
      servers: domain.servers.size,
      mappings: fake.privcmd.openMappings,
      devices: fake.eventDevices.filter(({ live }) => live).length,
    };
    if (Object.values(left).some((count) => count > 0)) throw new Error(JSON.stringify(left));
  }

  [Symbol.dispose](): void {
    for (const vm of this.#vms) vm.close();
    this.fake.close();
    this.poller.close();
  }
}
