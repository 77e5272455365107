import { EFBIG, type Fd, SysError } from '@node-vmm/vmm-sys-util';
import {
  IOCTL_EVTCHN_BIND_INTERDOMAIN,
  IOCTL_EVTCHN_BIND_INTERDOMAIN_ARG,
  IOCTL_EVTCHN_BIND_UNBOUND_PORT,
  IOCTL_EVTCHN_BIND_UNBOUND_PORT_ARG,
  IOCTL_EVTCHN_NOTIFY,
  IOCTL_EVTCHN_NOTIFY_ARG,
  IOCTL_EVTCHN_RESET,
  IOCTL_EVTCHN_RESTRICT_DOMID,
  IOCTL_EVTCHN_RESTRICT_DOMID_ARG,
  IOCTL_EVTCHN_UNBIND,
  IOCTL_EVTCHN_UNBIND_ARG,
} from './abi/evtchn.ts';
import { openXenDevice, type XenDevice, xenDeviceFromFd } from './device.ts';
import { wrapSysError } from './errors.ts';
import { asPort, type DomId, type Port } from './ids.ts';

/** Linux drivers/xen/evtchn.c. */
export const EVTCHN_PATH = '/dev/xen/evtchn';

/** Event channels of this process. */
export interface EventChannelOps extends Disposable {
  /** Readable when a port is pending: for a `Poller`. */
  readonly fd: Fd;
  /**
   * Binds a new local port to a port that another domain, or the hypervisor in its name, offers.
   *
   * @throws {XenSysError} INVALID when the remote port is bound or none, NO_SUCH_DOMAIN,
   * NOT_PERMITTED
   */
  bindInterdomain(domid: DomId, remotePort: number): Port;
  /** Allocates a local port that another domain may bind to. */
  bindUnbound(domid: DomId): Port;
  /** Signals the other end. */
  notify(port: Port): void;
  /** Lets a port be reported again; every reported port stays masked until then. */
  unmask(port: Port): void;
  /**
   * Calls back for each pending port, without waiting. Ports may be reported without a cause, so
   * look before acting.
   *
   * @returns how many were reported; while it is not 0 there may be more
   */
  pending(callback: (port: Port) => void): number;
  unbind(port: Port): void;
  /** From now on only ports of `domid` can be bound, for good. */
  restrict(domid: DomId): void;
  /** Unbinds every port. Idempotent. */
  close(): void;
}

/** Ports per read; the driver returns no more than a page at once. */
const READ_PORTS = 1024;

/** Event channels through /dev/xen/evtchn. */
export class EventChannels implements EventChannelOps {
  readonly #device: XenDevice;
  readonly #bound = new Set<Port>();
  readonly #pending = new Uint32Array(READ_PORTS);
  // Arguments of the calls made for every request, so that none of them allocates.
  readonly #one = new Uint32Array(1);
  readonly #notify = new Uint8Array(IOCTL_EVTCHN_NOTIFY_ARG.SIZE);
  readonly #notifyView = new DataView(this.#notify.buffer);
  #dispatching = false;

  /** @param device - non-blocking; becomes this object's */
  constructor(device: XenDevice) {
    this.#device = device;
  }

  /** @throws {XenSysError} NO_EVTCHN, NOT_PERMITTED */
  static open(path: string = EVTCHN_PATH): EventChannels {
    return new EventChannels(
      openXenDevice(path, {
        missing: 'NO_EVTCHN',
        remedy:
          'run in a Xen domain whose kernel has the event channel driver: CONFIG_XEN_DEV_EVTCHN, module xen-evtchn',
        nonBlocking: true,
      }),
    );
  }

  /**
   * Those of a descriptor that is open already, and stays its owner's: for a thread that is to serve them.
   *
   * @param ports - bound through it
   */
  static fromFd(fd: Fd, ports: Iterable<Port>): EventChannels {
    return EventChannels.fromDevice(xenDeviceFromFd(fd, 'event channels', false), ports);
  }

  /** As {@link fromFd}. @param device - becomes this object's */
  static fromDevice(device: XenDevice, ports: Iterable<Port>): EventChannels {
    const channels = new EventChannels(device);
    for (const port of ports) channels.#bound.add(port);
    return channels;
  }

  get fd(): Fd {
    return this.#device.fd;
  }

  /** Ports bound through this object. */
  get size(): number {
    return this.#bound.size;
  }

  bindInterdomain(domid: DomId, remotePort: number): Port {
    const arg = IOCTL_EVTCHN_BIND_INTERDOMAIN_ARG.encode({
      remote_domain: domid,
      remote_port: asPort(remotePort),
    });
    return this.#bind(`bind port ${remotePort} of domain ${domid}`, domid, () =>
      this.#device.ioctl(IOCTL_EVTCHN_BIND_INTERDOMAIN, arg),
    );
  }

  bindUnbound(domid: DomId): Port {
    const arg = IOCTL_EVTCHN_BIND_UNBOUND_PORT_ARG.encode({ remote_domain: domid });
    return this.#bind(`allocate a port for domain ${domid}`, domid, () =>
      this.#device.ioctl(IOCTL_EVTCHN_BIND_UNBOUND_PORT, arg),
    );
  }

  #bind(action: string, domid: DomId, call: () => number): Port {
    try {
      const port = asPort(call());
      this.#bound.add(port);
      return port;
    } catch (error) {
      throw wrapSysError(error, action, { domid });
    }
  }

  notify(port: Port): void {
    IOCTL_EVTCHN_NOTIFY_ARG.set(this.#notifyView, 0, 'port', port);
    try {
      this.#device.ioctl(IOCTL_EVTCHN_NOTIFY, this.#notify);
    } catch (error) {
      throw wrapSysError(error, `notify port ${port}`);
    }
  }

  unmask(port: Port): void {
    this.#one[0] = port;
    try {
      this.#device.write(this.#one, 4);
    } catch (error) {
      throw wrapSysError(error, `unmask port ${port}`);
    }
  }

  pending(callback: (port: Port) => void): number {
    // The buffer belongs to the dispatch under way.
    if (this.#dispatching) return 0;
    const count = this.#read();
    let failure: { readonly error: unknown } | undefined;
    this.#dispatching = true;
    try {
      for (let i = 0; i < count && this.#device.live; i++) {
        const port = this.#pending[i] as Port;
        if (!this.#bound.has(port)) continue;
        try {
          callback(port);
        } catch (error) {
          // The rest is read and masked already: nobody would ever hear of it again.
          failure ??= { error };
        }
      }
    } finally {
      this.#dispatching = false;
    }
    if (failure !== undefined) throw failure.error;
    return count;
  }

  #read(): number {
    try {
      const n = this.#device.read(this.#pending, this.#pending.byteLength);
      return n <= 0 ? 0 : n >>> 2;
    } catch (error) {
      if (SysError.is(error) && error.errno === EFBIG) return this.#recover();
      throw wrapSysError(error, 'read pending ports');
    }
  }

  /**
   * The driver's ring overflowed and forgot which ports were pending: start it afresh and take every
   * port for pending. A ring holds at least as many entries as ports are bound, so this is rare.
   */
  #recover(): number {
    this.#device.ioctl(IOCTL_EVTCHN_RESET, null);
    let count = 0;
    for (const port of this.#bound) {
      if (count === READ_PORTS) {
        // No room to report it: unmasking makes the driver tell again if it is pending.
        this.unmask(port);
        continue;
      }
      this.#pending[count++] = port;
    }
    return count;
  }

  unbind(port: Port): void {
    if (!this.#bound.delete(port)) return;
    try {
      this.#device.ioctl(IOCTL_EVTCHN_UNBIND, IOCTL_EVTCHN_UNBIND_ARG.encode({ port }));
    } catch (error) {
      throw wrapSysError(error, `unbind port ${port}`);
    }
  }

  restrict(domid: DomId): void {
    try {
      const arg = IOCTL_EVTCHN_RESTRICT_DOMID_ARG.encode({ domid });
      this.#device.ioctl(IOCTL_EVTCHN_RESTRICT_DOMID, arg);
    } catch (error) {
      throw wrapSysError(error, `restrict event channels to domain ${domid}`, { domid });
    }
  }

  close(): void {
    this.#bound.clear();
    this.#device.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
