import { join } from 'node:path';
import { VhostBridgeError } from './errors.ts';
import type { SupportedDevice } from './supported-devices.ts';

/** A back-end's socket on loan to one device. */
export interface SocketLease {
  readonly path: string;
  /**
   * For how long it is nothing to warn of when nobody listens there yet, milliseconds, default 0: a
   * back-end that is being started.
   */
  readonly graceMs?: number;
  /**
   * Asks what was started for the device to end, before it is given back: nothing more is asked of it.
   * Where nothing was started there is none.
   */
  stop?(): void;
  /** Gives the socket back for the next device. Idempotent. */
  release(): void;
}

/** Finds the back-end of a device. */
export interface SocketProvider {
  /**
   * @param device - its type
   * @param key - its identity, for messages and names
   * @param wanted - path of the socket that it had under another bridge: it gets that, where it can
   * @throws {VhostBridgeError} NO_SOCKET; BAD_SOCKET where there can be none
   */
  lease(device: SupportedDevice, key: string, wanted?: string): SocketLease;
}

/** Sockets that serve one device at a time. */
export class SocketLeases {
  readonly #users = new Map<string, string>();

  /** @throws {VhostBridgeError} NO_SOCKET while another device uses it */
  lease(path: string, device: SupportedDevice, key: string): SocketLease {
    const user = this.#users.get(path);
    if (user !== undefined) {
      throw new VhostBridgeError(
        'NO_SOCKET',
        `Cannot serve ${device.name} device ${key}: ${path} serves device ${user}; give each a socket of its own, such as a directory as --socket-path`,
      );
    }
    this.#users.set(path, key);
    return {
      path,
      release: () => {
        if (this.#users.get(path) === key) this.#users.delete(path);
      },
    };
  }
}

/** `--socket-path PATH --name NAME`: each device type has one socket, which serves one device. */
export class FixedSockets implements SocketProvider {
  readonly #paths: ReadonlyMap<string, string>;
  readonly #leases = new SocketLeases();

  /** @param paths - socket path by device name */
  constructor(paths: ReadonlyMap<string, string>) {
    this.#paths = paths;
  }

  lease(device: SupportedDevice, key: string): SocketLease {
    const path = this.#paths.get(device.name);
    if (path === undefined) {
      throw new VhostBridgeError(
        'NO_SOCKET',
        `Cannot serve ${device.name} device ${key}: no --socket-path was given for --name ${device.name}`,
      );
    }
    return this.#leases.lease(path, device, key);
  }
}

/** `--socket-path DIR`: the n-th device of a type uses `<DIR>/<name>.sock<n>`, lowest free n. */
export class SocketDirectory implements SocketProvider {
  readonly #dir: string;
  readonly #used = new Map<string, Set<number>>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  lease(device: SupportedDevice, _key?: string, wanted?: string): SocketLease {
    const used = this.#used.get(device.name) ?? new Set<number>();
    this.#used.set(device.name, used);
    const pathOf = (n: number): string => join(this.#dir, `${device.name}.sock${n}`);
    const had = Number(/\d{1,9}$/.exec(wanted ?? '')?.[0] ?? Number.NaN);
    const again = pathOf(had) === wanted && !used.has(had);
    let index = again ? had : 0;
    while (used.has(index)) index++;
    used.add(index);
    let released = false;
    return {
      path: pathOf(index),
      release: () => {
        if (!released) used.delete(index);
        released = true;
      },
    };
  }
}
