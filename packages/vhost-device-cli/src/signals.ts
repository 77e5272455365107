/** Ours: signals that ask the program to end. */
export const END_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
export type EndSignal = (typeof END_SIGNALS)[number];

/**
 * Another signal that comes sooner is the same wish told twice: a terminal signals a whole group and a
 * supervisor its child besides, systemd sends SIGHUP after SIGTERM.
 */
const SAME_WISH_MS = 1000;
/**
 * When Node may still be opening the port that a signal asked for before it ran any of our code: it asks
 * itself twice, and the second time may come when we have closed what the first opened.
 */
const LOOK_AGAIN_MS = [0, 10, 50, 200, 1000] as const;

/** The port was asked for on the command line, and is the user's. */
const ASKED_FOR = /(?:^|\s)--inspect(?:-brk|-wait)?(?:=|\s|$)/;

/**
 * What the program's signals mean. Installed before anything else is loaded: until then Node has its
 * own meaning for SIGUSR1, and opens a debugger's port, through which anybody on this machine can run
 * code in this process.
 */
export class Signals {
  /** Resolves with the first signal that asks for the end. */
  readonly ended: Promise<EndSignal>;
  readonly #now: () => number;
  #endedAt: number | undefined;
  #end: (signal: EndSignal) => void = () => undefined;
  #onImpatience: (signal: EndSignal) => void = () => undefined;
  #onStatus: (() => void) | undefined;
  #statusWanted = false;
  #wasOpen = false;

  private constructor(now: () => number) {
    this.#now = now;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** @param now - milliseconds of a clock that never goes back */
  static install(now: () => number = () => performance.now()): Signals {
    const signals = new Signals(now);
    process.on('SIGUSR1', () => signals.#wantStatus());
    for (const signal of END_SIGNALS) process.on(signal, () => signals.#wantEnd(signal));
    return signals;
  }

  /** True once the end was asked for. */
  get ending(): boolean {
    return this.#endedAt !== undefined;
  }

  /** What SIGUSR1 does; called at once when one came before. */
  onStatus(handler: () => void): void {
    this.#onStatus = handler;
    if (this.#statusWanted) this.#wantStatus();
  }

  /** What SIGTERM or SIGINT does a second or more after the first, while the program is still there. */
  onImpatience(handler: (signal: EndSignal) => void): void {
    this.#onImpatience = handler;
  }

  #wantStatus(): void {
    this.#statusWanted = this.#onStatus === undefined;
    this.#onStatus?.();
  }

  #wantEnd(signal: EndSignal): void {
    const now = this.#now();
    if (this.#endedAt === undefined) {
      this.#endedAt = now;
      this.#end(signal);
    } else if (signal !== 'SIGHUP' && now - this.#endedAt >= SAME_WISH_MS) {
      this.#onImpatience(signal);
    }
  }

  /** Closes the debugger's port that a signal before our handler has opened, or is about to open. */
  closeDebugger(): void {
    setImmediate(() => this.#closeDebugger()).unref();
    for (const delay of LOOK_AGAIN_MS) setTimeout(() => this.#closeDebugger(), delay).unref();
    this.#closeDebugger();
  }

  #closeDebugger(): void {
    // Not imported: it loads what looks at `process.stderr`. Undefined where Node was built without.
    const inspector: typeof import('node:inspector') | undefined =
      process.getBuiltinModule('node:inspector');
    if (inspector?.url() === undefined) return;
    const { execArgv, env } = process;
    if (ASKED_FOR.test([...execArgv, env['NODE_OPTIONS']].join(' '))) return;
    inspector.close();
    // One signal, one answer.
    if (!this.#wasOpen) this.#wantStatus();
    this.#wasOpen = true;
  }
}
