import { setTimeout as delay } from 'node:timers/promises';
import type { Connection } from './connection.ts';
import { XenStoreError } from './errors.ts';
import { Transaction } from './transaction.ts';
import type { TransactionOptions } from './xen-store-options.ts';

/** Times that a transaction which others got in the way of is tried. */
const TRANSACTION_ATTEMPTS = 32;
/** Longest wait before a transaction is tried again, milliseconds. */
const MAX_BACKOFF_MS = 256;

/**
 * Runs operations that take effect all at once, again and again while others get in the way: see
 * `XenStore.transaction`.
 *
 * @param connection - another one after xenstored came back
 * @returns what the callback returned in the run that took effect
 * @throws what the callback throws, after nothing took effect
 * @throws {XenStoreError} EAGAIN when others got in the way each time
 */
export async function runTransaction<T>(
  connection: () => Connection,
  callback: (transaction: Transaction) => Promise<T>,
  options: TransactionOptions,
): Promise<T> {
  const attempts = options.attempts ?? TRANSACTION_ATTEMPTS;
  for (let attempt = 1; ; attempt++) {
    options.signal?.throwIfAborted();
    const transaction = await Transaction.start(connection(), options);
    let result: T;
    try {
      result = await callback(transaction);
    } catch (error) {
      await transaction.end(false).catch(() => undefined);
      throw error;
    }
    try {
      await transaction.end(true);
      return result;
    } catch (error) {
      const again = XenStoreError.is(error, 'EAGAIN') && attempt < attempts;
      if (!again) throw error;
      await backOff(attempt, options.signal);
    }
  }
}

/**
 * Those that got in each other's way would do so again at the same pace: each waits for a time of its own.
 *
 * @throws the signal's reason
 */
async function backOff(attempt: number, signal: AbortSignal | undefined): Promise<void> {
  const limit = Math.min(2 ** attempt, MAX_BACKOFF_MS);
  try {
    await delay(Math.random() * limit, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
