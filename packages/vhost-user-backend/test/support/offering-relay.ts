import { FRONTEND_REQUESTS, VhostUserConnection } from '@node-vmm/vhost-user';
import { closeFds, MainPoller, UnixListener, UnixStream } from '@node-vmm/vmm-sys-util';

type Table = typeof FRONTEND_REQUESTS;

/** Stands before a device and offers more features than it has, which our framework lets no device do. */
export class OfferingRelay implements Disposable {
  readonly #poller = new MainPoller();
  readonly #listener: UnixListener;
  readonly #connections: VhostUserConnection<Table>[] = [];

  /**
   * @param path - where front-ends connect
   * @param devicePath - of the device
   * @param more - features that it offers besides
   */
  constructor(path: string, devicePath: string, more: bigint) {
    this.#listener = UnixListener.bind(path);
    this.#poller.watch(this.#listener.fd, { readable: true }, () => {
      const stream = this.#listener.accept();
      if (stream !== undefined) this.#relay(stream, UnixStream.connect(devicePath), more);
    });
  }

  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection.close();
    this.#poller.close();
    this.#listener.close();
  }

  #relay(stream: UnixStream, behind: UnixStream, more: bigint): void {
    const common = { poller: this.#poller, table: FRONTEND_REQUESTS };
    const onClose = (): void => {
      device.close();
      front.close();
    };
    const device = new VhostUserConnection({
      ...common,
      stream: behind,
      onReply: ({ name, payload }, fds) => {
        const taken = fds.take();
        const told = name === 'VHOST_USER_GET_FEATURES' ? payload | more : payload;
        front.sendReply(name, told as never, taken);
        closeFds(taken);
      },
      onClose,
    });
    const front = new VhostUserConnection({
      ...common,
      stream,
      onRequest: ({ name, payload, needReply }, fds) => {
        const taken = fds.take();
        const asked = name === 'VHOST_USER_SET_FEATURES' ? payload & ~more : payload;
        device.sendRequest(name, asked as never, taken, needReply);
        closeFds(taken);
      },
      onClose,
    });
    this.#connections.push(device, front);
  }
}
