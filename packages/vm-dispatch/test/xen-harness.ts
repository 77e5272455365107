import type { AccessHost } from '@node-vmm/ioreq-eventfd';
import { FakeXenGuest } from '@node-vmm/ioreq-eventfd/testing';
import { XenVm } from '@node-vmm/ioreq-eventfd/xen';
import type { NotificationMode } from '@node-vmm/vm-device';
import { GuestMemoryBuffer } from '@node-vmm/vm-memory/testing';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
import { asDomId } from '@node-vmm/xen-sys';
import { type FakeDomain, FakeXen, type FakeXenOptions } from '@node-vmm/xen-sys/testing';

export const DOMID = asDomId(7);

/** A guest of a fake Xen that a dispatch thread serves. */
export class XenBench implements Disposable {
  readonly poller = new MainPoller();
  readonly logger = new MemoryLogger();
  readonly fake: FakeXen;
  readonly domain: FakeDomain;
  readonly guest: FakeXenGuest;
  readonly #thread: AccessHost;
  readonly #vms: XenVm[] = [];
  invalidate: () => Promise<unknown> | undefined = () => undefined;

  constructor(thread: AccessHost, options: FakeXenOptions = {}, vcpus = 4) {
    this.fake = new FakeXen({ poller: this.poller, threads: true, ...options });
    this.domain = this.fake.addDomain(DOMID, { vcpus });
    this.#thread = thread;
    this.guest = new FakeXenGuest(this.fake, this.domain);
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
        irqs: this.guest.kind,
        answerLimit: 30_000,
        ...(takeUp === undefined ? {} : { takeUp }),
      },
    );
    this.#vms.push(vm);
    return vm;
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

  [Symbol.dispose](): void {
    for (const vm of this.#vms) vm.close();
    this.fake.close();
    this.poller.close();
  }
}
