import type { StoppedRing } from '../between/worker-calls.ts';
import type { VhostUserDevice } from '../device.ts';
import type { DeviceCode } from './device-code.ts';
import type { RingMemory, Vring } from './vring.ts';

/**
 * Rings on their way to a stop. The device completes what it holds and says that it is done; when that
 * takes too long for the main thread, a ring stops without it, and the memory that its chains are in
 * stays until the device does say so.
 */
export class RingStops {
  readonly #device: VhostUserDevice;
  readonly #code: DeviceCode;
  /** What ends the wait for each ring. */
  readonly #stopping = new Map<Vring, () => void>();
  /** Stopped, while the device may still touch chains of theirs. */
  readonly #held = new Set<Vring>();
  readonly #refusals = new Set<(error: unknown) => void>();

  constructor(device: VhostUserDevice, code: DeviceCode) {
    this.#device = device;
    this.#code = code;
  }

  /**
   * Stops rings, to which nobody else refers any more.
   *
   * @param then - called when all have stopped, perhaps at once
   * @param refuse - called instead when the device fails meanwhile, or `then` throws
   * @throws what the device throws, which has failed then; neither of the two was called
   */
  stop(
    rings: readonly Vring[],
    then: (stopped: StoppedRing[]) => void,
    refuse: (error: unknown) => void,
  ): void {
    const stopped: StoppedRing[] = [];
    // One more for this function, which has to come to its end before anybody is told.
    let left = rings.length + 1;
    const count = (ring?: StoppedRing): void => {
      if (ring !== undefined) stopped.push(ring);
      if (--left > 0) return;
      this.#refusals.delete(refuse);
      try {
        then(stopped);
      } catch (error) {
        refuse(error);
      }
    };
    for (const ring of rings) this.#stopOne(ring, count);
    if (left > 1) this.#refusals.add(refuse);
    count();
  }

  /** The rings that are waited for. */
  get waiting(): number[] {
    return [...this.#stopping.keys()].map(({ index }) => index);
  }

  /** As `Vring.renew`, of those that are waited for: the device may still return what it has of them. */
  renew(memory: RingMemory): void {
    for (const ring of this.#stopping.keys()) ring.renew(memory);
  }

  /** Waits no longer. */
  abandon(): void {
    for (const end of [...this.#stopping.values()]) end();
  }

  /** The device does nothing any more, because it has failed (`error`) or is disposed of. */
  deviceEnded(error: unknown): void {
    for (const ring of this.#stopping.keys()) {
      ring.stop();
      this.#held.add(ring);
    }
    this.#stopping.clear();
    for (const ring of this.#held) ring.letGo();
    this.#held.clear();
    const refusals = [...this.#refusals];
    this.#refusals.clear();
    for (const refuse of refusals) refuse(error);
  }

  #stopOne(ring: Vring, count: (ring: StoppedRing) => void): void {
    const device = this.#device;
    let done = false;
    const end = (): void => {
      if (!this.#stopping.delete(ring)) return;
      const position = ring.stop();
      this.#held.add(ring);
      this.#code.guard('queueStopped', () => device.queueStopped?.(ring.index));
      if (done) this.#letGo(ring);
      count({ ring: ring.index, position });
    };
    ring.stopping();
    this.#stopping.set(ring, end);
    if (device.queueStopping === undefined) done = true;
    else {
      let asked = false;
      this.#code.guard('queueStopping', () =>
        device.queueStopping?.(ring, () => {
          done = true;
          this.#letGo(ring);
          if (asked) end();
        }),
      );
      asked = true;
    }
    if (done) end();
  }

  #letGo(ring: Vring): void {
    if (this.#held.delete(ring)) ring.letGo();
  }
}
