import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { EventFd } from './eventfd.ts';
import type { Poller, Watch } from './poller.ts';

/**
 * Receives structured messages in a thread that blocks in an `EventLoop`: the sender posts to the
 * port and then signals the eventfd, which is in the loop's epoll set.
 *
 * @param port - this thread's end; what it posts reaches the other side's event loop as usual
 * @param wake - signalled by the sender after every `postMessage`
 * @param onMessage - called in order of sending
 */
export function watchControlPort(
  poller: Poller,
  port: MessagePort,
  wake: EventFd,
  onMessage: (message: unknown) => void,
): Watch {
  return poller.watch(wake.fd, { readable: true }, () => {
    wake.drain();
    for (;;) {
      const received = receiveMessageOnPort(port) as { message: unknown } | undefined;
      if (received === undefined) return;
      onMessage(received.message);
    }
  });
}
