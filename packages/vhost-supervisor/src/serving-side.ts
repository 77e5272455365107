// What the serving process does towards its supervisor. It loads nothing.

/** What the supervisor asks: whether all that serve have answered within so many milliseconds. */
export interface Ping {
  readonly ping: number;
  readonly timeoutMs: number;
}

/** What the serving process says. */
export type ServingMessage = 'serving' | { readonly pong: number; readonly well: boolean };

/** The serving process's link to the supervisor that has started it. */
export class ServingSide implements Disposable {
  /** Resolves when the supervisor is gone, or there is none: nobody is served any more. */
  readonly supervisorGone: Promise<void>;

  /** @param well - looks whether all that serve answer in time */
  constructor(well: (timeoutMs: number) => Promise<boolean>) {
    this.supervisorGone = new Promise((resolve) => {
      if (process.connected) process.once('disconnect', () => resolve());
      else resolve();
    });
    process.on('message', (message) => {
      const { ping, timeoutMs } = message as Ping;
      void well(timeoutMs).then((answer) => say({ pong: ping, well: answer }));
    });
  }

  /** All sockets are served. */
  started(): void {
    say('serving');
  }

  /** Ends the link, which keeps the process alive. Idempotent. */
  [Symbol.dispose](): void {
    if (process.connected) process.disconnect?.();
  }
}

function say(message: ServingMessage): void {
  // A supervisor that has gone meanwhile needs no answer.
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
}
