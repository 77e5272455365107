import { errorMessage, FaultGuard, type Logger } from '@node-vmm/vmm-sys-util';

/** Who maps files of a guest: the connection of its front-end. */
export interface FileHolder {
  /**
   * Memory of its guest is not there.
   *
   * @param by - name of the device that found that
   */
  memoryLost(by: string): void;
}

/** What one holder maps. */
export interface HeldFiles {
  /** See `GuestFiles.guard`. */
  readonly guard: FaultGuard | undefined;
  /** From now on it maps these, by their identity, and no others. */
  set(files: readonly string[]): void;
}

/**
 * The files that front-ends lend to the devices of a daemon, and what keeps a file that is cut off from
 * ending the process. Who maps the same file serves the same guest.
 */
export class GuestFiles {
  readonly #logger: Logger;
  readonly #held = new Map<FileHolder, ReadonlySet<string>>();
  #guard: FaultGuard | undefined;
  #asked = false;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Takes SIGBUS for the process when first asked for. Undefined where that cannot be. */
  get guard(): FaultGuard | undefined {
    if (this.#asked) return this.#guard;
    this.#asked = true;
    try {
      this.#guard = FaultGuard.install();
    } catch (error) {
      const text = `a guest that truncates its memory can end this process: ${errorMessage(error)}`;
      this.#logger.warn({ err: error }, text);
    }
    return this.#guard;
  }

  heldBy(holder: FileHolder): HeldFiles {
    const held = this.#held;
    const guard = (): FaultGuard | undefined => this.guard;
    return {
      get guard() {
        return guard();
      },
      set(files) {
        if (files.length === 0) held.delete(holder);
        else held.set(holder, new Set(files));
      },
    };
  }

  /** All who map a file that this one maps, itself first. */
  sharers(holder: FileHolder): FileHolder[] {
    const own = this.#held.get(holder);
    const others = [...this.#held].filter(
      ([other, files]) => other !== holder && own !== undefined && meet(own, files),
    );
    return [holder, ...others.map(([other]) => other)];
  }
}

function meet(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  for (const file of a) if (b.has(file)) return true;
  return false;
}
