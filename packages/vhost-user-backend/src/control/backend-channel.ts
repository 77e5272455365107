import { BACKEND_REQUESTS, VhostUserConnection } from '@node-vmm/vhost-user';
import {
  closeFds,
  errorMessage,
  type Fd,
  fileKind,
  type Logger,
  type Poller,
  setNonBlocking,
  UnixStream,
} from '@node-vmm/vmm-sys-util';
import { VhostUserBackendError } from '../errors.ts';

/** The back-end's own channel to the front-end (SET_BACKEND_REQ_FD). */
export class BackendChannel implements Disposable {
  readonly #connection: VhostUserConnection<typeof BACKEND_REQUESTS>;
  readonly #logger: Logger;

  /**
   * @param fd - becomes the channel's, whatever happens
   * @throws {VhostUserBackendError} INVALID_REQUEST when it is no socket
   */
  constructor(fd: Fd, poller: Poller, logger: Logger) {
    this.#logger = logger;
    let stream: UnixStream;
    try {
      if (fileKind(fd) !== 'socket') {
        throw new VhostUserBackendError(
          'INVALID_REQUEST',
          'Cannot use the descriptor of SET_BACKEND_REQ_FD: it is no socket',
        );
      }
      setNonBlocking(fd, true);
      stream = UnixStream.fromFd(fd);
    } catch (error) {
      closeFds([fd]);
      throw error;
    }
    this.#connection = new VhostUserConnection({
      stream,
      poller,
      table: BACKEND_REQUESTS,
      onClose: (reason) =>
        logger.debug({ reason: reason.kind, err: reason.error }, 'back-end channel closed'),
    });
  }

  /** Tells the front-end to read the configuration space again. */
  configChanged(): void {
    // One that waits in the queue says it already.
    if (!this.#connection.live || this.#connection.congested) return;
    try {
      this.#connection.sendRequest('VHOST_USER_BACKEND_CONFIG_CHANGE_MSG', undefined);
    } catch (error) {
      this.#logger.warn({ err: errorMessage(error) }, 'configuration change not told');
    }
  }

  close(): void {
    this.#connection.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
