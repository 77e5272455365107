import { decodeStrings } from './wire.ts';

/** What a watch reports: a path that changed, or that its state is to be read for the first time. */
export type WatchCallback = (path: string) => void;

interface Subscription {
  readonly callback: WatchCallback;
  /** Changed paths not yet reported: a guest that writes in a loop fills no memory. */
  readonly changed: Set<string>;
}

/** More distinct paths than this between two turns are reported as a change of the watched path. */
const MAX_CHANGED = 1024;

/** The watches of one connection, by token. Events are reported in a later turn, once per path. */
export class Subscriptions {
  readonly #byToken = new Map<string, Subscription & { readonly path: string }>();
  #nextToken = 0;
  #scheduled = false;

  /** @returns the token to watch with */
  add(path: string, callback: WatchCallback): string {
    const token = `node-vmm-${this.#nextToken++}`;
    this.#byToken.set(token, { path, callback, changed: new Set() });
    return token;
  }

  delete(token: string): boolean {
    return this.#byToken.delete(token);
  }

  get size(): number {
    return this.#byToken.size;
  }

  /** Takes the payload of an XS_WATCH_EVENT; one of a watch that is gone is dropped. */
  event(payload: Uint8Array): void {
    const [path, token] = decodeStrings(payload);
    const subscription = token === undefined ? undefined : this.#byToken.get(token);
    if (path === undefined || subscription === undefined) return;
    if (subscription.changed.size >= MAX_CHANGED) {
      subscription.changed.clear();
      subscription.changed.add(subscription.path);
    } else {
      subscription.changed.add(path);
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#report());
  }

  #report(): void {
    this.#scheduled = false;
    for (const [token, { changed, callback }] of [...this.#byToken]) {
      const paths = [...changed];
      changed.clear();
      for (const path of paths) if (this.#byToken.has(token)) callback(path);
    }
  }
}
