import {
  EACCES,
  EFBIG,
  EINVAL,
  ENOSYS,
  ENOTCONN,
  ESRCH,
  EventFd,
  type Fd,
  type IoctlRequest,
  type MemoryArg,
  readFd,
} from '@node-vmm/vmm-sys-util';
import {
  IOCTL_EVTCHN_BIND_INTERDOMAIN_ARG,
  IOCTL_EVTCHN_BIND_UNBOUND_PORT_ARG,
  IOCTL_EVTCHN_NOTIFY_ARG,
  IOCTL_EVTCHN_RESTRICT_DOMID_ARG,
  IOCTL_EVTCHN_UNBIND_ARG,
} from '../abi/evtchn.ts';
import { asDomId } from '../ids.ts';
import { argument, FakeDevice, kernelError } from './fake-device.ts';
import type { PeerPort } from './fake-ports.ts';
import { type FakeThreadCall, FakeThreadLink } from './fake-thread.ts';
import type { FakeXen } from './fake-xen.ts';

interface LocalPort {
  readonly peer: PeerPort;
  enabled: boolean;
  /** Signalled while masked: told again when unmasked. */
  latched: boolean;
}

/** /dev/xen/evtchn as the Linux driver behaves: a ring of pending ports, masked until written back. */
export class FakeEvtchn extends FakeDevice {
  readonly #xen: FakeXen;
  /** Where other threads may have the descriptor. */
  readonly link: FakeThreadLink | undefined;
  readonly #ready = EventFd.create();
  readonly #ports = new Map<number, LocalPort>();
  readonly #ring: number[] = [];
  #nextPort = 1;
  #overflow = false;
  #restricted: number | undefined;

  constructor(xen: FakeXen) {
    super();
    this.#xen = xen;
    this.link = xen.threads ? new FakeThreadLink(xen.poller, (call) => this.#do(call)) : undefined;
  }

  #do(call: FakeThreadCall): void {
    if (call.call === 'notify') this.#ports.get(call.port)?.peer.onNotify?.();
    else if (call.call === 'unmask') this.#unmask(call.ports);
  }

  override get fd(): Fd {
    return this.link?.fd ?? this.#ready.fd;
  }

  /** Makes the ring overflow: it forgets what is pending and every read fails until reset. */
  overflow(): void {
    this.#overflow = true;
    this.#ready.signal();
  }

  protected control(request: IoctlRequest, arg: MemoryArg): number {
    this.#xen.maybeFail(request.name);
    switch (request.name) {
      case 'IOCTL_EVTCHN_BIND_INTERDOMAIN':
        return this.#bindInterdomain(arg);
      case 'IOCTL_EVTCHN_BIND_UNBOUND_PORT': {
        const { remote_domain } = IOCTL_EVTCHN_BIND_UNBOUND_PORT_ARG.decode(argument(arg));
        if (this.#restricted !== undefined) throw kernelError(request.name, EACCES);
        if (!this.#xen.domains.has(asDomId(remote_domain))) throw kernelError(request.name, ESRCH);
        return this.#add(this.#xen.ports.offer(asDomId(remote_domain)));
      }
      case 'IOCTL_EVTCHN_NOTIFY': {
        const { port } = IOCTL_EVTCHN_NOTIFY_ARG.decode(argument(arg));
        this.#local(request, port).peer.onNotify?.();
        return 0;
      }
      case 'IOCTL_EVTCHN_UNBIND': {
        const { port } = IOCTL_EVTCHN_UNBIND_ARG.decode(argument(arg));
        this.#local(request, port).peer.unbind();
        this.#ports.delete(port);
        return 0;
      }
      case 'IOCTL_EVTCHN_RESET':
        this.#overflow = false;
        this.#ring.length = 0;
        this.#ready.drain();
        return 0;
      case 'IOCTL_EVTCHN_RESTRICT_DOMID': {
        const { domid } = IOCTL_EVTCHN_RESTRICT_DOMID_ARG.decode(argument(arg));
        if (this.#restricted !== undefined) throw kernelError(request.name, EACCES);
        if (domid === 0) throw kernelError(request.name, EINVAL);
        this.#restricted = domid;
        return 0;
      }
      default:
        throw kernelError(request.name, ENOSYS);
    }
  }

  #bindInterdomain(arg: MemoryArg): number {
    const name = 'IOCTL_EVTCHN_BIND_INTERDOMAIN';
    const values = IOCTL_EVTCHN_BIND_INTERDOMAIN_ARG.decode(argument(arg));
    if (this.#restricted !== undefined && this.#restricted !== values.remote_domain) {
      throw kernelError(name, EACCES);
    }
    if (!this.#xen.domains.has(asDomId(values.remote_domain))) throw kernelError(name, ESRCH);
    const peer = this.#xen.ports.find(values.remote_domain, values.remote_port);
    if (peer === undefined || peer.bound) throw kernelError(name, EINVAL);
    const port = this.#add(peer);
    // Xen signals a fresh channel once, in case the remote end had signalled before.
    this.#fire(port);
    return port;
  }

  #add(peer: PeerPort): number {
    const port = this.#nextPort++;
    this.#ports.set(port, { peer, enabled: true, latched: false });
    peer.bind({ fire: () => this.#fire(port) });
    return port;
  }

  #local(request: IoctlRequest, port: number): LocalPort {
    const local = this.#ports.get(port);
    if (local === undefined) throw kernelError(request.name, ENOTCONN);
    return local;
  }

  #fire(port: number): void {
    const local = this.#ports.get(port);
    if (local === undefined) return;
    if (!local.enabled) {
      local.latched = true;
      return;
    }
    local.enabled = false;
    local.peer.onDeliver?.();
    if (this.#overflow) return;
    if (this.link !== undefined) {
      this.link.report(port);
      return;
    }
    this.#ring.push(port);
    this.#ready.signal();
  }

  override read(target: ArrayBufferView, count: number): number {
    this.check();
    this.#xen.maybeFail('read');
    if (this.#overflow) throw kernelError('read', EFBIG);
    if (this.link !== undefined) return readFd(this.link.fd, target, count);
    const ports = new Uint32Array(target.buffer, target.byteOffset, count >>> 2);
    const taken = this.#ring.splice(0, ports.length);
    ports.set(taken);
    if (this.#ring.length === 0) this.#ready.drain();
    return taken.length === 0 ? -1 : taken.length * 4;
  }

  override write(source: ArrayBufferView, count: number): number {
    this.check();
    this.#unmask(new Uint32Array(source.buffer, source.byteOffset, count >>> 2));
    return count;
  }

  #unmask(ports: Iterable<number>): void {
    for (const port of ports) {
      const local = this.#ports.get(port);
      if (local === undefined || local.enabled) continue;
      local.enabled = true;
      if (!local.latched) continue;
      local.latched = false;
      this.#fire(port);
    }
  }

  override close(): void {
    if (!this.live) return;
    // What was asked for before.
    this.link?.pump();
    super.close();
    for (const { peer } of this.#ports.values()) peer.unbind();
    this.#ports.clear();
    this.#ready.close();
    this.link?.close();
  }
}
