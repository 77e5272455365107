import { hasProtocolFeature } from '@node-vmm/vhost-user';
import { VhostUserMasterError } from './errors.ts';
import type { VhostUserFrontend } from './frontend.ts';
import { InflightFile, type InflightShape, type KeptInflight } from './inflight-file.ts';
import type { RequestOptions } from './requester.ts';

/** What the device is that the area is for. */
export interface InflightKeeperOptions extends InflightShape {
  /**
   * The device's driver relies on state that is not in its rings (lines of a GPIO controller): a back-end
   * that cannot keep it does not offer INFLIGHT_SHMFD.
   */
  readonly stateful: boolean;
}

/** What one process leaves to the next. */
export interface KeptRecord {
  /** A back-end has had the device. */
  readonly begun: boolean;
  readonly record?: KeptInflight;
}

/**
 * Keeps the record of a device's requests in flight from one back-end to the next, and with it the answer to
 * whether the next can go on at all. One for each device, from when its driver is ready until it resets
 * the device.
 */
export class InflightKeeper implements Disposable {
  readonly #options: InflightKeeperOptions;
  #record: InflightFile | undefined;
  #given: VhostUserFrontend | undefined;
  /** A back-end has had the device. */
  #begun = false;

  /**
   * @param kept - what another process kept
   * @throws {VhostUserMasterError} WRONG_REPLY when that is for another device
   * @throws {SysError}
   */
  constructor(options: InflightKeeperOptions, kept?: KeptRecord) {
    this.#options = options;
    this.#begun = kept?.begun === true;
    if (kept?.record !== undefined) this.#record = InflightFile.restore(kept.record, options);
  }

  /**
   * What the next process needs to go on. To be called when no back-end serves any of the queues.
   *
   * @param torn - one may still write to the record: then it is worth nothing
   */
  keep(torn: boolean): KeptRecord {
    const begun = this.#begun;
    if (torn || this.#record === undefined) return { begun };
    try {
      return { begun, record: this.#record.keep() };
    } catch {
      // Who made it keeps it from us: as if there were none.
      return { begun };
    }
  }

  /** What the back-end records its requests in, for `RingPosition`; undefined where it does not. */
  get record(): InflightFile | undefined {
    return this.#record;
  }

  /**
   * Gives the record to a back-end; the first makes it. To be called for each, after `setFeatures` and
   * before the first `startVring`; once is enough for each.
   *
   * @param frontend - negotiated with {@link INFLIGHT_PROTOCOL_FEATURE} admitted
   * @throws {VhostUserMasterError} STATE_LOST when the device has state that did not outlive its last
   * back-end, or that this one does not have: the driver must reset the device; WRONG_REPLY, and as every request
   */
  async handOver(frontend: VhostUserFrontend, options: RequestOptions = {}): Promise<void> {
    if (this.#given === frontend) return;
    const { stateful, queues, queueSize } = this.#options;
    const { protocolFeatures } = frontend;
    const offered = hasProtocolFeature(protocolFeatures, 'VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD');
    // What a back-end without a record does is not in it.
    if (!offered) this.#forgetAll();
    if (stateful && this.#begun && this.#record === undefined) throw stateLost(offered);
    if (offered) {
      const kept = this.#record;
      this.#record ??= await askFor(frontend, { queues, queueSize }, options);
      if (this.#record !== undefined)
        await give(frontend, this.#record, kept !== undefined, options);
    }
    this.#begun = true;
    this.#given = frontend;
  }

  /** The driver has taken a queue back, and the back-end has let go of it. */
  forget(index: number): void {
    try {
      this.#record?.forget(index);
    } catch {
      // Nobody may go on with a record that tells of a ring that is no more.
      this.#forgetAll();
    }
  }

  /** Idempotent. */
  close(): void {
    this.#forgetAll();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #forgetAll(): void {
    this.#record?.close();
    this.#record = undefined;
  }
}

/** @returns undefined where the back-end has no room for a record now: as one that never keeps any */
async function askFor(
  frontend: VhostUserFrontend,
  shape: InflightShape,
  options: RequestOptions,
): Promise<InflightFile | undefined> {
  try {
    return await frontend.getInflight(shape, options);
  } catch (error) {
    if (VhostUserMasterError.is(error, 'NO_INFLIGHT_AREA')) return undefined;
    throw error;
  }
}

/** @param begun - by a back-end before this one, which may not be able to go on with it */
async function give(
  frontend: VhostUserFrontend,
  record: InflightFile,
  begun: boolean,
  options: RequestOptions,
): Promise<void> {
  try {
    await frontend.setInflight(record, options);
  } catch (cause) {
    if (!begun || !VhostUserMasterError.is(cause, 'REQUEST_FAILED')) throw cause;
    throw new VhostUserMasterError(
      'STATE_LOST',
      'Cannot go on with the device: the back-end does not have the state that its record of requests in ' +
        'flight is of (VHOST_USER_SET_INFLIGHT_FD was refused); the driver must reset the device',
      {},
      { cause },
    );
  }
}

function stateLost(offered: boolean): VhostUserMasterError {
  const who = offered ? 'the back-end before it did' : 'the back-end does';
  return new VhostUserMasterError(
    'STATE_LOST',
    `Cannot go on with the device: it has state, which ${who} not keep ` +
      '(no VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD); the driver must reset the device',
  );
}
