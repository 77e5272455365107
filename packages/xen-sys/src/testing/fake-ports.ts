import type { DomId } from '../ids.ts';

/** The local end of a bound channel: what a `FakeEvtchn` device registers. */
export interface Peer {
  /** The remote end signalled. */
  fire(): void;
}

/** A remote end: a port of another domain, or of the hypervisor in its name. */
export class PeerPort {
  readonly domid: DomId;
  readonly number: number;
  /** Called when the local end notifies. */
  onNotify: (() => void) | undefined;
  /** What the kernel does when the local end takes a signal, before user space learns of it. */
  onDeliver: (() => void) | undefined;
  #bound: Peer | undefined;
  readonly #table: FakePorts;

  constructor(table: FakePorts, domid: DomId, number: number) {
    this.#table = table;
    this.domid = domid;
    this.number = number;
  }

  get bound(): boolean {
    return this.#bound !== undefined;
  }

  bind(peer: Peer): void {
    this.#bound = peer;
  }

  unbind(): void {
    this.#bound = undefined;
  }

  /** Signals the local end, if there is one. */
  signal(): void {
    this.#bound?.fire();
  }

  close(): void {
    this.#table.remove(this);
  }
}

/** Ports that other domains offer. */
export class FakePorts {
  readonly #ports = new Map<number, PeerPort>();
  #next = 1;

  offer(domid: DomId): PeerPort {
    const port = new PeerPort(this, domid, this.#next++);
    this.#ports.set(port.number, port);
    return port;
  }

  find(domid: number, number: number): PeerPort | undefined {
    const port = this.#ports.get(number);
    return port?.domid === domid ? port : undefined;
  }

  remove(port: PeerPort): void {
    this.#ports.delete(port.number);
  }
}
