import type { DeviceSite } from '@node-vmm/vhost-bridge';
import { errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import { announcementOf, type BackendNode, siteOf } from './backend-node.ts';
import { Retries } from './retries.ts';

/** A device that is not served, and why. */
interface Failure {
  readonly site: DeviceSite | undefined;
  /** What was announced. */
  readonly entries: string;
  readonly reason: string;
  /** It is to be tried again. */
  due: boolean;
}

/** Devices of the toolstack's that could not be served, by key, and when they are tried again. */
export class Failures {
  readonly #logger: Logger;
  readonly #onDue: () => void;
  readonly #failures = new Map<string, Failure>();
  readonly #retries = new Retries();

  /** @param onDue - some are to be tried again */
  constructor(logger: Logger, onDue: () => void) {
    this.#logger = logger;
    this.#onDue = onDue;
  }

  /** One failed, or failed again; each reason is told once. */
  add(node: BackendNode, error: unknown): void {
    const { key } = node;
    const reason = errorMessage(error);
    const level = this.#failures.get(key)?.reason === reason ? 'debug' : 'error';
    this.#logger[level]({ device: key, err: error }, 'device cannot be served');
    const entries = announcementOf(node);
    const failure: Failure = { site: siteOf(node), entries, reason, due: false };
    this.#failures.set(key, failure);
    this.#retries.failed(key, () => {
      failure.due = true;
      this.#onDue();
    });
  }

  /** Where its guest looks for it. */
  siteOf(key: string): DeviceSite | undefined {
    return this.#failures.get(key)?.site;
  }

  /** Whether what was announced has changed since. */
  hasChanged(node: BackendNode): boolean {
    return this.#failures.get(node.key)?.entries !== announcementOf(node);
  }

  isDue(node: BackendNode): boolean {
    return this.#failures.get(node.key)?.due === true || this.hasChanged(node);
  }

  /** Something is free that may have been what was lacking. */
  somethingIsFree(): void {
    for (const failure of this.#failures.values()) failure.due = true;
  }

  /** It is served, gone, or another server's. */
  forget(key: string): void {
    this.#failures.delete(key);
    this.#retries.forget(key);
  }

  /** Nothing is tried again. */
  close(): void {
    this.#retries.close();
  }
}
