import { setTimeout as sleep } from 'node:timers/promises';
import { shouldReconnect, VhostUserMasterError } from './errors.ts';
import type { RequestOptions } from './requester.ts';
import type { Session } from './session.ts';

/** Milliseconds between two attempts to connect again. */
const RETRY_INTERVAL = 20;

/**
 * Resets a device by the message that its back-end has for it.
 *
 * @returns false when there is none, or when the back-end says that it did not reset
 * @throws {VhostUserMasterError} as every request but REQUEST_FAILED
 */
export async function resetByMessage(session: Session, options: RequestOptions): Promise<boolean> {
  const { requester } = session;
  try {
    if (session.has('VHOST_USER_PROTOCOL_F_RESET_DEVICE')) {
      await requester.command('VHOST_USER_RESET_DEVICE', undefined, options);
      return true;
    }
    if (!session.has('VHOST_USER_PROTOCOL_F_STATUS')) return false;
    await requester.command('VHOST_USER_SET_STATUS', 0n, options);
    // VIRTIO 1.3 §2.1: writing 0 resets, and 0 is read once that is done. A back-end that keeps the
    // status for show alone gives itself away here.
    const { payload } = await requester.request('VHOST_USER_GET_STATUS', undefined, options);
    return payload === 0n;
  } catch (error) {
    if (VhostUserMasterError.is(error, 'REQUEST_FAILED')) return false;
    throw error;
  }
}

/**
 * Opens a session, again and again while the back-end is coming back: one that serves a single
 * connection may hang up on the next before it listens anew.
 *
 * @param limitMs - after that an error is final
 * @throws what the last attempt ended with
 */
export async function reopen(
  open: () => Promise<Session>,
  limitMs: number,
  signal: AbortSignal,
): Promise<Session> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    try {
      return await open();
    } catch (error) {
      const left = deadline - performance.now();
      if (signal.aborted || left <= 0 || !shouldReconnect(error)) throw error;
      // Aborted: the next attempt says so.
      await sleep(Math.min(RETRY_INTERVAL, left), undefined, { signal }).catch(() => undefined);
    }
  }
}

/** The back-end has no way to reset, and this side has no way to connect again. */
export function cannotReset(): VhostUserMasterError {
  return new VhostUserMasterError(
    'CANNOT_RESET',
    'Cannot reset the device: the back-end did not by RESET_DEVICE or STATUS, and connecting again ' +
      'is not up to this front-end. Close it and make another, or give it "reconnect"',
  );
}
