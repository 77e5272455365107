import { afterEach, beforeEach, expect } from 'vitest';
import {
  type DeviceSpec,
  type ServedDevice,
  VhostUserDaemon,
  type VhostUserDaemonOptions,
} from '../src/index.ts';
import {
  FrontEnd,
  Guest,
  GuestRing,
  MemoryLogger,
  negotiate,
  openFds,
  Sockets,
  until,
} from '../src/testing/index.ts';

export const ECHO = new URL('./fixtures/echo-device.mjs', import.meta.url);

/** A daemon with an echo device for every test, and the check that each leaves no descriptor open. */
export class Bench {
  readonly sockets = new Sockets();
  readonly logger = new MemoryLogger();
  readonly daemon: VhostUserDaemon;
  readonly guest = new Guest();
  device!: ServedDevice;
  readonly #closeables: { close(): void }[] = [];

  constructor(options: VhostUserDaemonOptions = {}) {
    // On a loaded machine nobody is to end a thread by force: a device's descriptors would stay open.
    this.daemon = new VhostUserDaemon({ logger: this.logger, closeTimeout: 60_000, ...options });
  }

  async addDevice(options: unknown = {}, spec: Partial<DeviceSpec> = {}): Promise<ServedDevice> {
    return this.daemon.addDevice({
      name: 'echo',
      module: ECHO,
      socketPath: this.sockets.path(),
      options,
      ...spec,
    });
  }

  connect(device: ServedDevice = this.device): FrontEnd {
    const frontEnd = new FrontEnd(device.socketPath as string);
    this.#closeables.push(frontEnd);
    return frontEnd;
  }

  ring(...args: ConstructorParameters<typeof GuestRing> extends [Guest, ...infer R] ? R : never) {
    const ring = new GuestRing(this.guest, ...args);
    this.#closeables.push(ring);
    return ring;
  }

  /** A connected front-end with features and memory, and an enabled ring. */
  async running(
    device: ServedDevice = this.device,
  ): Promise<{ frontEnd: FrontEnd; ring: GuestRing }> {
    const frontEnd = this.connect(device);
    await negotiate(frontEnd, this.guest);
    const ring = this.ring();
    ring.setUp(frontEnd);
    expect(await ring.enable(frontEnd)).toBe(0);
    return { frontEnd, ring };
  }

  /** Waits until the device listens again. */
  async idle(): Promise<void> {
    await until(async () => (await this.device.status()).state !== 'connected');
  }

  async close(): Promise<void> {
    for (const closeable of this.#closeables) closeable.close();
    await this.daemon.close();
    this.guest.close();
    this.sockets.close();
  }
}

/** Registers set-up and clean-up; the returned function gives the bench of the running test. */
export function useBench(
  options: unknown = {},
  daemonOptions: VhostUserDaemonOptions = {},
): () => Bench {
  let bench: Bench;
  let before: number;
  beforeEach(async () => {
    before = openFds();
    bench = new Bench(daemonOptions);
    bench.device = await bench.addDevice(options);
  });
  afterEach(async () => {
    await bench.close();
    // Node closes what it opened itself when it comes to it.
    await expect.poll(() => openFds()).toBe(before);
  });
  return () => bench;
}
