import { BACKEND_REQUESTS, type ShortMessage, VhostUserConnection } from '@node-vmm/vhost-user';
import {
  closeFd,
  errorMessage,
  type Fd,
  type Logger,
  type Poller,
  UnixStream,
} from '@node-vmm/vmm-sys-util';

type Table = typeof BACKEND_REQUESTS;

/** Acknowledgement of a request that this front-end does not serve. */
const REFUSED = 1n;

/** The back-end's own channel: it asks, the front-end answers. */
export class BackendChannel implements Disposable {
  readonly #connection: VhostUserConnection<Table>;
  #remoteFd: Fd | undefined;
  readonly #replyAck: boolean;
  readonly #logger: Logger;
  readonly #onConfigChange: () => void;

  /**
   * @param replyAck - REPLY_ACK has been negotiated, so requests may ask for an acknowledgement
   * @throws {SysError}
   */
  constructor(poller: Poller, replyAck: boolean, logger: Logger, onConfigChange: () => void) {
    this.#replyAck = replyAck;
    this.#logger = logger;
    this.#onConfigChange = onConfigChange;
    const [local, remote] = UnixStream.pair();
    this.#remoteFd = remote.fd;
    try {
      this.#connection = new VhostUserConnection({
        stream: local,
        poller,
        table: BACKEND_REQUESTS,
        onRequest: (message) => this.#onRequest(message),
        onShortage: (message) => this.#onRequest(message),
        onClose: ({ kind, error }) => {
          // Requests of the front-end still work; a peer that is gone is reported there.
          const context = { kind, error: errorMessage(error) };
          if (kind === 'peer-closed') logger.debug(context, 'back-end channel closed');
          else logger.warn(context, 'back-end channel closed');
        },
      });
    } catch (error) {
      this.handedOver();
      throw error;
    }
  }

  /** Descriptors to send by SET_BACKEND_REQ_FD: the back-end's end, until {@link handedOver}. */
  get remoteFds(): readonly Fd[] {
    return this.#remoteFd === undefined ? [] : [this.#remoteFd];
  }

  /** Closes our copy of the back-end's end, so that the back-end's death is noticed. */
  handedOver(): void {
    // Not by UnixStream.close, which would shut the socket down for the back-end too.
    if (this.#remoteFd !== undefined) closeFd(this.#remoteFd);
    this.#remoteFd = undefined;
  }

  close(): void {
    this.#connection.close();
    this.handedOver();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #onRequest(message: ShortMessage<Table>): void {
    const known = message.name === 'VHOST_USER_BACKEND_CONFIG_CHANGE_MSG';
    if (!known) this.#logger.warn({ request: message.name }, 'back-end request refused');
    const always = message.spec.reply !== undefined;
    if (always || (message.needReply && this.#replyAck)) {
      this.#connection.sendReply(message.name, known ? 0n : REFUSED);
    }
    if (known) this.#onConfigChange();
  }
}
