import type { Fd, Poller, Watch } from '@node-vmm/vmm-sys-util';
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
  #onRequest: (vcpu: number) => void = () => undefined;
  #onError: (error: unknown) => void = () => undefined;
  #watch: Watch | undefined;
  #live = true;

  /**
   * @param channels - become this object's
   * @param local - bound through them, in the order of vCPUs
   */
  constructor(channels: EventChannelOps, local: readonly Port[]) {
    this.local = local;
    this.#channels = channels;
    this.#vcpuOf = new Map(local.map((port, vcpu) => [port, vcpu]));
  }

  /**
   * Binds the ports that the ioreq page names.
   *
   * @param channels - become this object's, whatever happens
   * @throws {XenSysError}
   */
  static bind(channels: EventChannelOps, page: IoreqPage, domid: DomId): VcpuPorts {
    try {
      const local: Port[] = [];
      for (let vcpu = 0; vcpu < page.vcpus; vcpu++) {
        local.push(channels.bindInterdomain(domid, page.eventPort(vcpu)));
      }
      return new VcpuPorts(channels, local);
    } catch (error) {
      channels.close();
      throw error;
    }
  }

  /** Of the event channels; another thread may serve them instead of this object. */
  get fd(): Fd {
    return this.#channels.fd;
  }

  /**
   * Hears vCPUs from now on.
   *
   * @param onRequest - a vCPU may have posted a request; must not throw
   * @param onError - the driver refuses what it never should: nobody is heard any more
   * @throws {SysError} when the descriptor cannot be watched
   */
  serve(
    poller: Poller,
    onRequest: (vcpu: number) => void,
    onError: (error: unknown) => void,
  ): void {
    this.#onRequest = onRequest;
    this.#onError = onError;
    this.#watch = poller.watch(this.#channels.fd, { readable: true }, () => this.#read());
    // A thread that heard them before may have died between reading a port and unmasking it.
    for (const port of this.local) this.#channels.unmask(port);
  }

  /** Tells a vCPU that its request is answered. */
  notify(vcpu: number): void {
    const port = this.local[vcpu];
    if (port !== undefined) this.#channels.notify(port);
  }

  #read(): void {
    try {
      // Whoever is called may close it.
      for (let reads = 0; reads < MAX_READS && this.#live; reads++) {
        if (this.#channels.pending(this.#serve) === 0) return;
      }
    } catch (error) {
      this.#watch?.close();
      this.#onError(error);
    }
  }

  // Unmasked first: a request that is posted while this one is served is announced again.
  readonly #serve = (port: Port): void => {
    if (!this.#live) return;
    this.#channels.unmask(port);
    const vcpu = this.#vcpuOf.get(port);
    if (vcpu !== undefined) this.#onRequest(vcpu);
  };

  close(): void {
    this.#live = false;
    this.#watch?.close();
    this.#channels.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
