import {
  type CloseReason,
  FRONTEND_REQUESTS,
  hasProtocolFeature,
  type ReceivedFds,
  type ShortMessage,
  VhostUserConnection,
} from '@node-vmm/vhost-user';
import { VhostUserMasterError } from '@node-vmm/vhost-user-master';
import {
  closeFds,
  errorMessage,
  type Fd,
  type Logger,
  type Poller,
  type UnixStream,
} from '@node-vmm/vmm-sys-util';
import { VhostSupervisorError } from './errors.ts';
import { RecordedRequests } from './recorded-requests.ts';
import { type FrontendRequest, RecordedSession } from './recorded-session.ts';
import { RestoredBackend, SUPERVISED_PROTOCOL_FEATURES } from './restored-backend.ts';
import type { ServingProcess } from './serving-process.ts';

type Table = typeof FRONTEND_REQUESTS;

export interface SupervisedConnectionOptions {
  /** The serving process, and its socket of this device. */
  readonly process: ServingProcess;
  readonly path: string;
  /** As `SupervisorOptions.stateful`. */
  readonly stateful: boolean;
  readonly poller: Poller;
  readonly logger: Logger;
}

/** A front-end's connection: each request goes to the serving process, and what it set up is kept. */
export class SupervisedConnection {
  /** Resolves when the connection has ended and everything that it held is released. */
  readonly ended: Promise<void>;
  readonly #logger: Logger;
  readonly #session = new RecordedSession();
  readonly #connection: VhostUserConnection<Table>;
  readonly #record: RecordedRequests | undefined;
  readonly #backend: RestoredBackend;
  #protocolFeatures = 0n;
  #work: Promise<void> = Promise.resolve();
  #end: () => void = () => undefined;

  /**
   * @param stream - becomes the connection's
   * @throws {SysError} when the socket cannot be polled
   */
  constructor(stream: UnixStream, options: SupervisedConnectionOptions) {
    const { logger, poller, process, path, stateful } = options;
    this.#logger = logger;
    this.#connection = new VhostUserConnection({
      stream,
      poller,
      table: FRONTEND_REQUESTS,
      onRequest: (request, fds) => this.#onRequest(request, fds),
      onShortage: (request, error) => this.#refuse(request, error),
      onUnknown: (request, acknowledge) => {
        if (!this.#replyAck) return;
        logger.warn({ request }, 'unknown request refused');
        acknowledge(1n);
      },
      onClose: (reason) => {
        this.#logEnd(reason);
        this.#end();
      },
    });
    const session = this.#session;
    const onLost = (): void => this.close();
    const record = stateful ? new RecordedRequests() : undefined;
    this.#record = record;
    this.#backend = new RestoredBackend({ path, process, session, record, poller, logger, onLost });
    this.ended = new Promise<void>((resolve) => {
      this.#end = resolve;
    }).then(() => this.#release());
  }

  /** Drops the connection; `ended` tells when that is done. Idempotent. */
  close(): void {
    this.#connection.close();
    this.#end();
  }

  get #replyAck(): boolean {
    return hasProtocolFeature(this.#protocolFeatures, 'VHOST_USER_PROTOCOL_F_REPLY_ACK');
  }

  #onRequest(request: FrontendRequest, received: ReceivedFds): void {
    const fds = received.take();
    this.#connection.pause();
    this.#work = this.#serve(request, fds);
  }

  async #serve(request: FrontendRequest, fds: Fd[]): Promise<void> {
    try {
      const answer = await this.#execute(request, fds);
      if (request.spec.reply !== undefined) this.#reply(request.name, answer);
      else this.#acknowledge(request, 0n);
    } catch (error) {
      this.#refuse(request, error);
    } finally {
      closeFds(fds);
    }
    this.#connection.resume();
  }

  /** @param fds - what is kept of them is taken out */
  async #execute(request: FrontendRequest, fds: Fd[]): Promise<unknown> {
    switch (request.name) {
      case 'VHOST_USER_SET_OWNER':
        // Said by the supervisor itself, on each of its own connections.
        return undefined;
      case 'VHOST_USER_SET_PROTOCOL_FEATURES':
        this.#protocolFeatures = request.payload & SUPERVISED_PROTOCOL_FEATURES;
        return undefined;
      case 'VHOST_USER_GET_PROTOCOL_FEATURES':
        return await this.#backend.run(
          async (frontend) => frontend.protocolFeatures & SUPERVISED_PROTOCOL_FEATURES,
        );
      case 'VHOST_USER_GET_FEATURES':
      case 'VHOST_USER_GET_QUEUE_NUM':
      case 'VHOST_USER_GET_MAX_MEM_SLOTS':
      case 'VHOST_USER_GET_CONFIG':
      case 'VHOST_USER_GET_STATUS': {
        const { name, payload } = request;
        return await this.#backend.run(
          async (frontend) => (await frontend.request(name, payload as never)).payload,
        );
      }
      case 'VHOST_USER_GET_VRING_BASE': {
        const { name, payload } = request;
        const state = await this.#backend.run(
          async (frontend) => (await frontend.request(name, payload)).payload,
        );
        this.#session.ring(payload.index).stopped(state.num);
        this.#record?.forget(payload.index);
        return state;
      }
      case 'VHOST_USER_SET_FEATURES':
      case 'VHOST_USER_SET_STATUS':
      case 'VHOST_USER_RESET_DEVICE':
      case 'VHOST_USER_RESET_OWNER':
      case 'VHOST_USER_SET_MEM_TABLE':
      case 'VHOST_USER_ADD_MEM_REG':
      case 'VHOST_USER_REM_MEM_REG':
      case 'VHOST_USER_SET_VRING_NUM':
      case 'VHOST_USER_SET_VRING_ADDR':
      case 'VHOST_USER_SET_VRING_BASE':
      case 'VHOST_USER_SET_VRING_ENABLE':
      case 'VHOST_USER_SET_VRING_KICK':
      case 'VHOST_USER_SET_VRING_CALL':
      case 'VHOST_USER_SET_VRING_ERR':
      case 'VHOST_USER_SET_CONFIG': {
        const { name, payload } = request;
        await this.#backend.run(async (frontend) => {
          // With it a ring may start.
          if (name === 'VHOST_USER_SET_VRING_KICK') await this.#record?.handOver(frontend);
          await frontend.command(name, payload as never, {}, fds);
        });
        this.#session.record(request, fds.splice(0));
        if (isReset(request)) this.#record?.close();
        return undefined;
      }
      default:
        throw new VhostSupervisorError(
          'UNSUPPORTED',
          `Cannot serve ${request.name}: a supervised device does not offer it`,
          { request: request.name },
        );
    }
  }

  /** As the serving process does: what cannot be refused by an answer ends the connection. */
  #refuse(request: ShortMessage<Table>, error: unknown): void {
    const { name } = request;
    const told = request.spec.reply === undefined && this.#acknowledge(request, 1n);
    const refused = VhostUserMasterError.is(error, 'REQUEST_FAILED');
    if (told || (refused && isRing(name))) {
      this.#logger.warn({ request: name, err: error }, `request refused: ${errorMessage(error)}`);
      return;
    }
    if (!this.#connection.live) return;
    this.#logger.error({ request: name, err: error }, `connection dropped: ${errorMessage(error)}`);
    this.close();
  }

  #acknowledge(request: ShortMessage<Table>, result: bigint): boolean {
    if (!request.needReply || !this.#replyAck) return false;
    this.#reply(request.name, result);
    return true;
  }

  #reply(name: FrontendRequest['name'], payload: unknown): void {
    if (!this.#connection.live) return;
    try {
      this.#connection.sendReply(name, payload as never);
    } catch {
      // The connection has closed itself, and `onClose` has told why.
    }
  }

  async #release(): Promise<void> {
    this.#backend.close();
    await this.#work;
    this.#session.close();
    this.#record?.close();
  }

  #logEnd(reason: CloseReason): void {
    if (reason.kind === 'peer-closed') this.#logger.info({}, 'front-end disconnected');
    else this.#logger.error({ reason: reason.kind, err: reason.error }, 'connection ended');
  }
}

/** What was in flight is not asked for any more. */
function isReset({ name, payload }: FrontendRequest): boolean {
  if (name === 'VHOST_USER_RESET_DEVICE') return true;
  return name === 'VHOST_USER_SET_STATUS' && payload === 0n;
}

/** What the guest chose for its ring is that ring's own fault, for which no front-end is dropped. */
function isRing(name: FrontendRequest['name']): boolean {
  return name === 'VHOST_USER_SET_VRING_NUM' || name === 'VHOST_USER_SET_VRING_ADDR';
}
