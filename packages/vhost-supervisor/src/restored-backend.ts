import { setTimeout as sleep } from 'node:timers/promises';
import { protocolFeatureMask } from '@node-vmm/vhost-user';
import {
  INFLIGHT_PROTOCOL_FEATURE,
  VhostUserFrontend,
  VhostUserMasterError,
} from '@node-vmm/vhost-user-master';
import { errorMessage, type Logger, type Poller } from '@node-vmm/vmm-sys-util';
import { VhostSupervisorError } from './errors.ts';
import type { RecordedRequests } from './recorded-requests.ts';
import type { RecordedSession } from './recorded-session.ts';
import { replay } from './replay.ts';
import type { ServingProcess } from './serving-process.ts';

/**
 * Protocol features that a supervised device has. Not among them: memory of Xen domains, which comes
 * without descriptors to hold, and what only a back-end's own channel or dirty log can tell.
 */
export const SUPERVISED_PROTOCOL_FEATURES: bigint = protocolFeatureMask(
  'VHOST_USER_PROTOCOL_F_MQ',
  'VHOST_USER_PROTOCOL_F_REPLY_ACK',
  'VHOST_USER_PROTOCOL_F_CONFIG',
  'VHOST_USER_PROTOCOL_F_RESET_DEVICE',
  'VHOST_USER_PROTOCOL_F_STATUS',
  'VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS',
);

/** A stop of rings takes its time; more than that and the serving process hangs, milliseconds. */
const REQUEST_MS = 15_000;
const POLL_MS = 5;
/**
 * How often to look for the end of a process that has ended its connection, 5 s or more. Counted and not timed:
 * each look lets the event come that says so, however busy the machine is.
 */
const EXIT_POLLS = 1_000;

export interface RestoredBackendOptions {
  /** The serving process's socket. */
  readonly path: string;
  readonly process: ServingProcess;
  readonly session: RecordedSession;
  /** Of the device's requests in flight, where it returns them in any order. */
  readonly record: RecordedRequests | undefined;
  readonly poller: Poller;
  readonly logger: Logger;
  /** It cannot be had any more: the serving process refused the front-end, or what it is now. */
  readonly onLost: (error: unknown) => void;
}

/** A connection to the serving process that is made anew, with all that was set up, when that has died. */
export class RestoredBackend {
  readonly #options: RestoredBackendOptions;
  #frontend: Promise<VhostUserFrontend>;
  #live = true;

  constructor(options: RestoredBackendOptions) {
    this.#options = options;
    this.#frontend = this.#connect(false);
  }

  /**
   * Runs requests, once more if the serving process dies meanwhile: they have to be ones that may be
   * repeated.
   */
  async run<T>(work: (frontend: VhostUserFrontend) => Promise<T>): Promise<T> {
    for (;;) {
      const current = this.#frontend;
      try {
        return await work(await current);
      } catch (error) {
        if (!this.#live || !isLost(error)) throw error;
        // Its end is told by an event of its own.
        while (this.#live && this.#frontend === current) await sleep(POLL_MS);
      }
    }
  }

  /** Ends the connection, by which the serving process resets the device. Idempotent. */
  close(): void {
    this.#live = false;
    this.#frontend.then((frontend) => frontend.close()).catch(() => undefined);
  }

  #connect(again: boolean): Promise<VhostUserFrontend> {
    const connecting = this.#open(again);
    connecting.catch((error: unknown) => this.#lost(error));
    return connecting;
  }

  async #open(again: boolean): Promise<VhostUserFrontend> {
    const { process, path, poller, logger, session, record } = this.#options;
    const inflight = record === undefined ? 0n : INFLIGHT_PROTOCOL_FEATURE;
    const protocolFeatures = SUPERVISED_PROTOCOL_FEATURES | inflight;
    for (;;) {
      await process.whenReady();
      if (!this.#live) throw closed();
      const { generation } = process;
      let frontend: VhostUserFrontend | undefined;
      try {
        const options = { path, poller, logger, timeoutMs: REQUEST_MS, reconnect: false };
        frontend = await VhostUserFrontend.connect(options);
        await frontend.negotiate({ protocolFeatures });
        if (again) await replay(frontend, session, logger, record);
        if (!frontend.live || !this.#live) throw closed();
        frontend.onClose(() => void this.#onClose(generation));
        if (again) logger.info({}, 'device served again, the front-end saw nothing of it');
        return frontend;
      } catch (error) {
        frontend?.close();
        // Died again meanwhile: that is told by its end.
        if (!this.#live || !(await this.#processEnded(generation))) throw error;
      }
    }
  }

  async #onClose(generation: number): Promise<void> {
    if (!this.#live) return;
    if (await this.#processEnded(generation)) {
      if (this.#live) this.#frontend = this.#connect(true);
      return;
    }
    this.#lost(closed());
  }

  /** @returns false when it lives on: then it was its will to end the connection */
  async #processEnded(generation: number): Promise<boolean> {
    const { process } = this.#options;
    for (let i = 0; i < EXIT_POLLS; i++) {
      if (!this.#live || process.generation !== generation || process.pid === undefined)
        return true;
      await sleep(POLL_MS);
    }
    return false;
  }

  #lost(error: unknown): void {
    if (!this.#live) return;
    this.#live = false;
    const { logger, onLost } = this.#options;
    logger.error({ err: error }, `device lost: ${errorMessage(error)}`);
    onLost(error);
  }
}

/** The connection is gone, not the request refused. */
function isLost(error: unknown): boolean {
  return (
    VhostUserMasterError.is(error, 'CONNECTION_LOST') || VhostUserMasterError.is(error, 'CLOSED')
  );
}

function closed(): VhostSupervisorError {
  const text = 'Cannot serve the front-end: the serving process ended its connection';
  return new VhostSupervisorError('SERVING_PROCESS_FAILED', text);
}
