import type { MessagePort } from 'node:worker_threads';
import type { Poller } from '@node-vmm/vmm-sys-util';
import { cloneError } from '../between/clone-error.ts';
import { type ConnectHost, type HostErrorRecord, hostErrorOf } from '../between/host-protocol.ts';
import { invalidField, isText, isUrl, MODULE_REMEDY } from '../between/invalid-field.ts';
import type { HostThread, HostThreadOptions } from '../host-thread.ts';
import { HostLink } from './host-link.ts';

/** What the connections of a device need of it and its worker. */
export interface HostLinksEnvironment {
  /** Of the device, for messages. */
  readonly name: string;
  readonly poller: Poller;
  /** To the main thread. */
  connect(request: Omit<ConnectHost, 'type' | 'seat'>, transfer: readonly MessagePort[]): void;
  /** Node's event loop must turn until this is settled. */
  turn(until: Promise<unknown>): void;
}

/** The connections of one device to host threads, in its vring worker. */
export class HostLinks {
  readonly #environment: HostLinksEnvironment;
  readonly #links = new Map<number, HostLink>();
  /** Those whose thread has no host yet. */
  readonly #starting = new Set<number>();
  #next = 0;
  #onReady: (() => void) | undefined;

  constructor(environment: HostLinksEnvironment) {
    this.#environment = environment;
  }

  /**
   * @throws {VhostUserBackendError} INVALID_DEVICE when the options are not what they should be
   * @throws {SysError} when there are no descriptors left
   */
  open({ key, module, options }: HostThreadOptions): HostThread {
    const { name, poller, connect, turn } = this.#environment;
    checkHostThread(name, key, module);
    const id = this.#next++;
    const link = new HostLink({
      poller,
      connect: (port, wakeFd) => {
        const request = { link: id, key, module: module.href, options, port, wakeFd };
        try {
          connect(request, [port]);
        } catch (error) {
          throw cloneError(name, 'hostThread.options', options, error);
        }
      },
      ready: () => this.#settle(id),
      closed: () => {
        this.#links.delete(id);
        this.#settle(id);
      },
      turn,
    });
    this.#links.set(id, link);
    this.#starting.add(id);
    return link;
  }

  /** Calls back, perhaps at once, when every thread that was connected to has its host. */
  whenReady(callback: () => void): void {
    this.#onReady = callback;
    this.#tellReady();
  }

  /** @returns why the device cannot go on, undefined when it had let go of that thread already */
  lost(id: number, record: HostErrorRecord): Error | undefined {
    return this.#links.has(id) ? hostErrorOf(record) : undefined;
  }

  /** Closes all of them. Idempotent. */
  close(): void {
    this.#onReady = undefined;
    for (const link of [...this.#links.values()]) link.close();
  }

  #settle(id: number): void {
    this.#starting.delete(id);
    this.#tellReady();
  }

  #tellReady(): void {
    if (this.#starting.size > 0) return;
    const callback = this.#onReady;
    this.#onReady = undefined;
    callback?.();
  }
}

function checkHostThread(name: string, key: unknown, module: unknown): void {
  const expected = 'a text that is not empty';
  if (!isText(key)) throw invalidField(name, 'hostThread.key', { expected, got: key });
  if (isUrl(module)) return;
  const problem = { expected: 'a URL', got: module, remedy: MODULE_REMEDY };
  throw invalidField(name, 'hostThread.module', problem);
}
