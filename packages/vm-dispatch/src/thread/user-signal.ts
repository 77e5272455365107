import { EventFd, type Fd, type SignalGuard } from '@node-vmm/vmm-sys-util';

/**
 * An eventfd that a back-end has, too, and may have made blocking: this thread tries once, for a short
 * time; from then on the main thread signals, which can get rid of such a back-end.
 *
 * @param fd - stays the main thread's
 * @param stalled - has the main thread signal it
 */
export function sharedSignal(fd: Fd, guard: SignalGuard, stalled: () => void): EventFd {
  const eventfd = EventFd.fromFd(fd);
  let given = false;
  const signal = (event: EventFd): boolean => {
    if (!given && guard.signal(event)) return true;
    given = true;
    stalled();
    return true;
  };
  eventfd.share({ signal }, () => undefined);
  return eventfd;
}
