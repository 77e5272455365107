import { type EventFd, errorMessage, type Logger, type Poller } from '@node-vmm/vmm-sys-util';

/**
 * Injects an interrupt when an eventfd fires, by this process: for hypervisors and kernels that do
 * not do it themselves.
 *
 * @param onSignal - injects it
 * @returns stops it
 * @throws {SysError} when the eventfd cannot be watched
 */
export function watchIrqfd(
  poller: Poller,
  eventfd: EventFd,
  onSignal: () => void,
  logger: Logger,
): () => void {
  let failed = false;
  const watch = poller.watch(eventfd.fd, { readable: true }, () => {
    try {
      if (!eventfd.drain()) return;
      onSignal();
    } catch (error) {
      // A guest that is going away must not take the event loop with it.
      if (!failed) logger.warn({ error: errorMessage(error) }, 'irqfd failed, logged once');
      failed = true;
    }
  });
  return () => watch.close();
}
