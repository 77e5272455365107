import { setTimeout as sleep } from 'node:timers/promises';
import { errorMessage } from '@node-vmm/vmm-sys-util';
import type { DeviceCall } from '../between/pulse.ts';
import { VhostUserBackendError } from '../errors.ts';

/** How long a promise that must not be may take to say what its author did wrong, milliseconds. */
const SETTLE_MS = 100;

const REMEDY =
  'a device is called without an event loop, so it has to be done when it returns: complete chains later, from a callback of context.poller, or ask a context.hostThread';
const MAKING_REMEDY =
  'it has to return the device: wait at the top of the module, where await may stand, or in a context.hostThread';

/**
 * Device code must not be asynchronous: in a worker nothing would settle its promises.
 *
 * @param value - what device code returned
 * @throws {VhostUserBackendError} INVALID_DEVICE with the promise as `cause`, when it is one. Nobody else
 * need handle its rejection
 */
export function refusePromise(device: string, call: DeviceCall, value: unknown): void {
  if (!isThenable(value)) return;
  value.then(ignore, ignore);
  const making = call === 'createDevice';
  const subject = making ? `Cannot serve device ${device}: ` : '';
  const text = `${subject}${call} returned a promise, and ${making ? MAKING_REMEDY : REMEDY}`;
  throw new VhostUserBackendError('INVALID_DEVICE', text, { device }, { cause: value });
}

/** The promise that {@link refusePromise} refused by this error. */
export function refusedPromise(error: unknown): PromiseLike<unknown> | undefined {
  if (!VhostUserBackendError.is(error) || !isThenable(error.cause)) return undefined;
  return error.cause;
}

/** What became of a promise within a moment. */
type Outcome = { readonly reason: unknown } | { readonly value: unknown } | undefined;

/** Waits a moment for a promise: Node's event loop has to turn meanwhile. Never rejects. */
export function outcomeOf(promise: PromiseLike<unknown>): Promise<Outcome> {
  const settled = Promise.resolve(promise).then(
    (value): Outcome => ({ value }),
    (reason: unknown): Outcome => ({ reason }),
  );
  return Promise.race([settled, sleep(SETTLE_MS, undefined)]);
}

/** The error for a promise that was refused, with that of its author where there is one. */
export function rejectionError(error: unknown, outcome: Outcome): unknown {
  if (!VhostUserBackendError.is(error) || outcome === undefined || 'value' in outcome) return error;
  const { reason } = outcome;
  const text = `${error.message}. It was rejected: ${errorMessage(reason)}`;
  return new VhostUserBackendError(error.code, text, error.context, { cause: reason });
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  return typeof (value as { then?: unknown }).then === 'function';
}

function ignore(): void {}
