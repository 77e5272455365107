import type { Poller, Watch } from '@node-vmm/vmm-sys-util';
import type { DomId, EventChannelOps, Port } from '@node-vmm/xen-sys';
import type { IoreqPage } from './ioreq-page.ts';

// The poller calls again while ports are pending; other users of the event loop get their turn.
const MAX_READS = 16;

/** The event channels through which vCPUs announce requests and learn of answers. */
export class VcpuPorts implements Disposable {
  /** Local ports, in the order of vCPUs. */
  readonly local: readonly Port[];
  readonly #channels: EventChannelOps;
  readonly #vcpuOf: ReadonlyMap<Port, number>;
  readonly #onRequest: (vcpu: number) => void;
  readonly #watch: Watch;

  private constructor(
    channels: EventChannelOps,
    local: readonly Port[],
    poller: Poller,
    onRequest: (vcpu: number) => void,
  ) {
    this.local = local;
    this.#channels = channels;
    this.#vcpuOf = new Map(local.map((port, vcpu) => [port, vcpu]));
    this.#onRequest = onRequest;
    this.#watch = poller.watch(channels.fd, { readable: true }, () => this.#read());
  }

  /**
   * Binds the ports that the ioreq page names.
   *
   * @param components - `channels` becomes this object's, whatever happens
   * @param onRequest - a vCPU may have posted a request; must not throw
   * @throws {XenSysError}
   */
  static bind(
    components: {
      readonly channels: EventChannelOps;
      readonly page: IoreqPage;
      readonly poller: Poller;
    },
    domid: DomId,
    onRequest: (vcpu: number) => void,
  ): VcpuPorts {
    const { channels, page, poller } = components;
    try {
      const local: Port[] = [];
      for (let vcpu = 0; vcpu < page.vcpus; vcpu++) {
        local.push(channels.bindInterdomain(domid, page.eventPort(vcpu)));
      }
      return new VcpuPorts(channels, local, poller, onRequest);
    } catch (error) {
      channels.close();
      throw error;
    }
  }

  /** Tells a vCPU that its request is answered. */
  notify(vcpu: number): void {
    const port = this.local[vcpu];
    if (port !== undefined) this.#channels.notify(port);
  }

  #read(): void {
    for (let reads = 0; reads < MAX_READS; reads++) {
      if (this.#channels.pending(this.#serve) === 0) return;
    }
  }

  // Unmasked first: a request that is posted while this one is served is announced again.
  readonly #serve = (port: Port): void => {
    this.#channels.unmask(port);
    const vcpu = this.#vcpuOf.get(port);
    if (vcpu !== undefined) this.#onRequest(vcpu);
  };

  close(): void {
    this.#watch.close();
    this.#channels.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
