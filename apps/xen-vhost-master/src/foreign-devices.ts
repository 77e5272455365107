import { announcementOf, type BackendNode } from './backend-node.ts';

/** Devices of other servers, by key. */
export class ForeignDevices {
  /** What was announced, where only a change of that can make them ours. */
  readonly #announcements = new Map<string, string | undefined>();

  /** Whether it is left to others for as long as it is announced so. */
  isLeft(node: BackendNode): boolean {
    const left = this.#announcements.get(node.key);
    return left !== undefined && left === announcementOf(node);
  }

  /** The protocol says that it is another server's, for now. @returns false when that was known */
  add({ key }: BackendNode): boolean {
    if (this.#announcements.has(key)) return false;
    this.#announcements.set(key, undefined);
    return true;
  }

  /** It is left to others, until something else is announced there. */
  leave(node: BackendNode): void {
    this.#announcements.set(node.key, announcementOf(node));
  }

  /** It is ours. */
  forget(key: string): void {
    this.#announcements.delete(key);
  }

  /** Forgets those that are announced no more. */
  retain(nodes: ReadonlyMap<string, unknown>): void {
    for (const key of this.#announcements.keys()) {
      if (!nodes.has(key)) this.#announcements.delete(key);
    }
  }
}
