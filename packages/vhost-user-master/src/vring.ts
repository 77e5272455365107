import type { GuestAddress } from '@node-vmm/vm-memory';
import type { EventFd } from '@node-vmm/vmm-sys-util';
import { VhostUserMasterError } from './errors.ts';
import type { Requester, RequestOptions } from './requester.ts';

/** A virtqueue to be served by the back-end. */
export interface VringConfig {
  /** 0..255. */
  readonly index: number;
  /** Entries, 1..32768. */
  readonly size: number;
  readonly descTable: GuestAddress;
  readonly availRing: GuestAddress;
  readonly usedRing: GuestAddress;
  /** Where to go on: what `stopVring` returned, or a `RingPosition` says; `freshPosition` of a new queue. */
  readonly base: number;
  /** Signalled by the guest's notifications. Stays the caller's. */
  readonly kick: EventFd;
  /** Signalled by the back-end's interrupts. Stays the caller's. */
  readonly call: EventFd;
  /** Signalled when the back-end gives the queue up. Stays the caller's. */
  readonly err?: EventFd;
}

/**
 * Starts a vring and returns once the back-end serves it.
 *
 * @param explicitEnable - the back-end offers VHOST_USER_F_PROTOCOL_FEATURES, so that its vrings
 * begin disabled
 */
export async function startVring(
  requester: Requester,
  config: VringConfig,
  explicitEnable: boolean,
  options: RequestOptions,
): Promise<void> {
  const { index, size, base } = config;
  const withFd = { index, hasFd: true };
  // All at once: one round trip instead of one each. The back-end handles them in this order.
  const steps = [
    requester.command('VHOST_USER_SET_VRING_NUM', { index, num: size }, options),
    requester.command(
      'VHOST_USER_SET_VRING_ADDR',
      {
        index,
        flags: 0,
        descTable: config.descTable,
        availRing: config.availRing,
        usedRing: config.usedRing,
        log: 0n,
      },
      options,
    ),
    requester.command('VHOST_USER_SET_VRING_BASE', { index, num: base }, options),
    ...(config.err === undefined
      ? []
      : [requester.command('VHOST_USER_SET_VRING_ERR', withFd, options, [config.err.fd])]),
    requester.command('VHOST_USER_SET_VRING_CALL', withFd, options, [config.call.fd]),
    requester.command('VHOST_USER_SET_VRING_KICK', withFd, options, [config.kick.fd]),
    ...(explicitEnable
      ? [requester.command('VHOST_USER_SET_VRING_ENABLE', { index, num: 1 }, options)]
      : []),
    // Without acknowledgements any reply says that what was sent before it has been handled.
    ...(requester.replyAck ? [] : [barrier(requester, options)]),
  ];
  await Promise.all(steps);
  // A kick overtakes the messages, and there are back-ends that drain the eventfd before they are
  // enabled and forget it. A kick too many costs nothing.
  config.kick.signal();
}

/** Returns once the back-end has handled everything sent so far. */
async function barrier(requester: Requester, options: RequestOptions): Promise<void> {
  await requester.request('VHOST_USER_GET_FEATURES', undefined, options);
}

/**
 * Stops a vring; the back-end touches neither ring nor eventfds any more once this resolves.
 *
 * @returns the base to start it at again
 * @throws {VhostUserMasterError} WRONG_REPLY
 */
export async function stopVring(
  requester: Requester,
  index: number,
  options: RequestOptions,
): Promise<number> {
  const { payload } = await requester.request(
    'VHOST_USER_GET_VRING_BASE',
    { index, num: 0 },
    options,
  );
  if (payload.index === index) return payload.num;
  throw new VhostUserMasterError(
    'WRONG_REPLY',
    `Cannot stop vring ${index}: the back-end answered for vring ${payload.index}`,
    { request: 'VHOST_USER_GET_VRING_BASE' },
  );
}
