import { readlinkSync } from 'node:fs';
import { closeFds, EventFd, type Fd, setNonBlocking } from '@node-vmm/vmm-sys-util';
import { VhostUserBackendError } from '../errors.ts';

/**
 * Takes over a descriptor that must be an eventfd. Anything else could make us wait: a read of a
 * terminal, a write into a full pipe.
 *
 * The file description is shared with the peer, so we make it non-blocking. A peer that clears the
 * flag again and fills the counter holds up a worker until the main thread frees it (`WorkerWatchdog`).
 *
 * @param what - for the message
 * @throws {VhostUserBackendError} INVALID_REQUEST; the descriptor is closed
 */
export function takeEventFd(fd: Fd, what: string): EventFd {
  try {
    const target = readlinkSync(`/proc/self/fd/${fd}`);
    if (target !== 'anon_inode:[eventfd]') {
      throw new VhostUserBackendError(
        'INVALID_REQUEST',
        `Cannot use the ${what} descriptor: it is ${target}, not an eventfd`,
      );
    }
    setNonBlocking(fd, true);
    return EventFd.fromFd(fd);
  } catch (error) {
    closeFds([fd]);
    throw error;
  }
}
