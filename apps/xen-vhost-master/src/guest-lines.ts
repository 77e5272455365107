import { TokenBucket } from '@node-vmm/vmm-sys-util';

/** Ours: lines of a guest at once, and how long it takes until there is room for one more, milliseconds. */
const BURST = 2000;
const EVERY_MS = 1;

/** What a guest says, handed on as long as it does not say too much. */
export class GuestLines {
  readonly #print: (text: string) => void;
  readonly #now: () => number;
  readonly #bucket: TokenBucket;
  #dropped = 0;

  /** @param now - milliseconds */
  constructor(print: (text: string) => void, now: () => number) {
    this.#print = print;
    this.#now = now;
    this.#bucket = new TokenBucket(BURST, EVERY_MS, now());
  }

  /** @param line - without its end */
  say(line: string): void {
    if (!this.#bucket.take(this.#now())) {
      this.#dropped++;
      return;
    }
    this.tellDropped();
    this.#print(`${line}\n`);
  }

  /** Says how many lines were left out, if any were. */
  tellDropped(): void {
    if (this.#dropped === 0) return;
    this.#print(`(${this.#dropped} lines of the guest were left out)\n`);
    this.#dropped = 0;
  }
}
