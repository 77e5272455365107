import { XS_TRANSACTION_END, XS_TRANSACTION_START } from './abi/xs-wire.ts';
import type { Connection, RequestOptions } from './connection.ts';
import { XenStoreError } from './errors.ts';
import { decodeString, encodeStrings } from './message.ts';
import { StoreOperations } from './operations.ts';

/** Operations that take effect all at once, or not at all. Valid until its callback ends. */
export class Transaction extends StoreOperations {
  #ended = false;

  private constructor(connection: Connection, id: number) {
    super(connection, id);
  }

  /** @throws {XenStoreError} ENOSPC with too many transactions ... */
  static async start(connection: Connection, options: RequestOptions): Promise<Transaction> {
    const payload = await connection.request({
      type: XS_TRANSACTION_START,
      payload: encodeStrings(''),
      action: 'start a transaction',
      signal: options.signal,
      timeout: options.timeout,
      // Nobody waits for it any more, but xenstored keeps it until told otherwise.
      late: (reply) => {
        Transaction.#of(connection, reply)
          .end(false)
          .catch(() => undefined);
      },
    });
    return Transaction.#of(connection, payload);
  }

  static #of(connection: Connection, payload: Uint8Array): Transaction {
    const text = decodeString(payload);
    const id = Number(text);
    if (!/^\d{1,10}$/.test(text) || id === 0 || id > 0xffff_ffff) {
      throw new XenStoreError('PROTOCOL', `Cannot start a transaction: its id is "${text}"`);
    }
    return new Transaction(connection, id);
  }

  protected override check(): void {
    if (this.#ended) throw new XenStoreError('CLOSED', 'Cannot use the transaction: it has ended');
  }

  /**
   * Commits or discards.
   *
   * @throws {XenStoreError} EAGAIN when something it read or wrote was changed meanwhile
   */
  async end(commit: boolean): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    // Not to be given up halfway: until it is answered nobody knows whether it took effect.
    await this.connection.request({
      type: XS_TRANSACTION_END,
      payload: encodeStrings(commit ? 'T' : 'F'),
      transactionId: this.transactionId,
      action: commit ? 'commit a transaction' : 'discard a transaction',
    });
  }
}
