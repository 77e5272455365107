import { asFd, closeFd, type Logger, ThreadInterrupt } from '@node-vmm/vmm-sys-util';
import { type ConnectHost, hostErrorRecord } from '../between/host-protocol.ts';
import { VhostUserBackendError } from '../errors.ts';
import { type HostLost, HostThreadControl } from './host-thread-control.ts';

/**
 * The host threads of a daemon, on the main thread: one for each key that devices name, from the first
 * connection to the end of the last.
 */
export class HostThreads {
  readonly #entry: URL;
  readonly #logger: Logger;
  /** Those that devices are connected to. */
  readonly #byKey = new Map<string, HostThreadControl>();
  /** Those that have not ended. */
  readonly #all = new Set<HostThreadControl>();

  /** @param entry - what they run: see `threadEntry` */
  constructor(entry: URL, logger: Logger) {
    this.#entry = entry;
    this.#logger = logger;
  }

  /** How many have not ended. */
  get count(): number {
    return this.#all.size;
  }

  /**
   * Brings a device and its host thread together.
   *
   * @param lost - tells the device that there is no such thread, or no more
   */
  connect({ key, module, options, port, wakeFd }: ConnectHost, lost: HostLost): void {
    try {
      const thread = this.#byKey.get(key) ?? this.#start(key, module, options);
      if (thread.module !== module) throw otherModule(key, thread.module);
      thread.connect(port, wakeFd, lost);
    } catch (error) {
      port.close();
      void lost(hostErrorRecord(error))
        .catch(() => undefined)
        .then(() => closeFd(asFd(wakeFd)));
    }
  }

  /** Ends threads wherever they are. */
  terminate(): void {
    for (const thread of this.#all) {
      this.#logger.warn({ host: thread.key }, 'host thread does not come back: it is ended');
      thread.terminate();
    }
  }

  /** Ends the threads and waits for that. */
  async close(): Promise<void> {
    for (const thread of this.#all) thread.end();
    await Promise.all([...this.#all].map(({ ended }) => ended));
  }

  /** As `HostThreadControl.exiting`, of all. */
  exiting(timeout: number): boolean {
    return [...this.#all].filter((thread) => thread.exiting(timeout)).length > 0;
  }

  #start(key: string, module: string, options: unknown): HostThreadControl {
    const interrupt = ThreadInterrupt.install();
    const thread = new HostThreadControl({ key, module, options }, this.#entry, interrupt, () => {
      // Who comes now gets another thread: this one may be about to end.
      if (this.#byKey.get(key) === thread) this.#byKey.delete(key);
      thread.end();
    });
    this.#byKey.set(key, thread);
    this.#all.add(thread);
    this.#logger.debug({ host: key }, 'host thread started');
    void thread.ended.then(() => this.#all.delete(thread));
    return thread;
  }
}

function otherModule(key: string, module: string): VhostUserBackendError {
  const text = `Cannot connect to the host thread of ${key}: it runs ${module}; give each kind of host keys of its own`;
  return new VhostUserBackendError('INVALID_DEVICE', text);
}
