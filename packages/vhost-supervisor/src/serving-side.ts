// What the serving process does towards its supervisor.

/** Tells the supervisor that the sockets are served. Without one it does nothing. */
export function servingStarted(): void {
  process.send?.('serving');
}

/**
 * Calls back when the supervisor is gone.
 *
 * @returns ends the listening, which keeps the process alive
 */
export function onSupervisorGone(listener: () => void): Disposable {
  process.on('disconnect', listener);
  return {
    [Symbol.dispose]: () => {
      process.off('disconnect', listener);
      if (process.connected) process.disconnect?.();
    },
  };
}
