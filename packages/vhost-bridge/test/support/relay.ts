import {
  FRONTEND_REQUESTS,
  protocolFeatureMask,
  type Reply,
  VhostUserConnection,
} from '@node-vmm/vhost-user';
import { closeFds, type MainPoller, UnixStream } from '@node-vmm/vmm-sys-util';

type Table = typeof FRONTEND_REQUESTS;

/** What rust-vmm's daemons of the first releases do not have either. */
const HIDDEN = protocolFeatureMask(
  'VHOST_USER_PROTOCOL_F_RESET_DEVICE',
  'VHOST_USER_PROTOCOL_F_STATUS',
  'VHOST_USER_PROTOCOL_F_XEN_MMAP',
);

/** Stands between a front-end and a daemon, and hides that the daemon can be reset. */
export class Relay {
  readonly names: string[] = [];
  readonly #front: VhostUserConnection<Table>;
  readonly #daemon: VhostUserConnection<Table>;

  constructor(stream: UnixStream, daemonPath: string, poller: MainPoller) {
    const onClose = (): void => this.close();
    const table = FRONTEND_REQUESTS;
    this.#daemon = new VhostUserConnection({
      stream: UnixStream.connect(daemonPath),
      poller,
      table,
      onReply: (message, fds) => {
        const taken = fds.take();
        this.#front.sendReply(message.name, this.#edit(message) as never, taken);
        closeFds(taken);
      },
      onClose,
    });
    this.#front = new VhostUserConnection({
      stream,
      poller,
      table,
      onRequest: (message, fds) => {
        this.names.push(message.name);
        const taken = fds.take();
        this.#daemon.sendRequest(message.name, message.payload as never, taken, message.needReply);
        closeFds(taken);
      },
      onClose,
    });
  }

  close(): void {
    this.#daemon.close();
    this.#front.close();
  }

  #edit({ name, payload }: Reply<Table>): unknown {
    return name === 'VHOST_USER_GET_PROTOCOL_FEATURES' ? payload & ~HIDDEN : payload;
  }
}
