import type { DeviceDescription } from './device-source.ts';
import { VhostBridgeError } from './errors.ts';
import { type SocketLease, SocketLeases, type SocketProvider } from './socket-provider.ts';
import type { SupportedDevice } from './supported-devices.ts';

/** Gives devices their sockets, also one that a device on its way down still has. */
export class Leases {
  readonly #sockets: SocketProvider;
  // Of sockets that devices name themselves.
  readonly #own = new SocketLeases();
  readonly #leaving: () => readonly Promise<void>[];

  /** @param leaving - devices on their way down, which give their sockets back */
  constructor(sockets: SocketProvider, leaving: () => readonly Promise<void>[]) {
    this.#sockets = sockets;
    this.#leaving = leaving;
  }

  /**
   * @param wanted - path of the socket that it had under another bridge
   * @returns undefined while one may become free
   * @throws {VhostBridgeError} NO_SOCKET, BAD_SOCKET
   */
  try(
    type: SupportedDevice,
    { key, socket }: DeviceDescription,
    wanted?: string,
  ): SocketLease | undefined {
    try {
      if (socket !== undefined) return this.#own.lease(socket, type, key);
      return this.#sockets.lease(type, key, wanted);
    } catch (error) {
      if (!VhostBridgeError.is(error, 'NO_SOCKET') || this.#leaving().length === 0) throw error;
      return undefined;
    }
  }

  /**
   * Waits for one to become free: a guest that is created again is faster than the end of its old
   * devices.
   *
   * @param signal - gives up
   * @throws the abort reason, or as {@link Leases.try}
   */
  async wait(
    type: SupportedDevice,
    description: DeviceDescription,
    signal: AbortSignal,
  ): Promise<SocketLease> {
    const aborted = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    for (;;) {
      const gone = this.#leaving().map((down) => down.catch(() => undefined));
      await Promise.race([...gone, aborted]);
      signal.throwIfAborted();
      const lease = this.try(type, description);
      if (lease !== undefined) return lease;
    }
  }
}
