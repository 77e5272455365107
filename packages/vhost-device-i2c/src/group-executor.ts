import type { DescriptorChain } from '@node-vmm/virtio-queue';
import { errorCode, errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import { formatI2cAddress, isTenBit } from './address.ts';
import type { AddressMap } from './address-map.ts';
import { ChainAnswers, type Complete } from './chain-answers.ts';
import { type I2cCounters, newCounters } from './counters.ts';
import { I2C_TRANSFER_MAX, type I2cHost, type I2cMessage } from './i2c-host.ts';
import { type I2cRequest, RequestParser } from './request.ts';
import { Transfer, TransferBuffer } from './transfer.ts';

/** Requests that the driver linked. */
interface Group {
  /** One of them failed: so do those after it. */
  failed: boolean;
  /** No more of them come. */
  ended: boolean;
}

/** What an executor works with. */
export interface GroupExecutorOptions {
  readonly map: AddressMap;
  readonly logger: Logger;
  /** Makes several transfers, with a STOP between them, of a group that no single one can be. */
  readonly splitGroups: boolean;
  /** Returns a chain to the driver. */
  readonly complete: Complete;
  /** Called when a transfer has ended later than in `push` or `end`. */
  readonly onProgress: () => void;
  /** Told of each transfer that is over; the messages are valid within the call. */
  readonly onTransfer: (messages: readonly I2cMessage[], done: number, error: unknown) => void;
}

interface Queued {
  readonly request: I2cRequest;
  readonly group: Group;
  /** The bus that it is for, undefined when it may not be executed. */
  readonly host: I2cHost | undefined;
}

/**
 * Puts requests together to the groups that the driver linked by VIRTIO_I2C_FLAGS_FAIL_NEXT, and
 * executes each group as one combined transfer: a write and the read after it must not be parted by
 * a STOP.
 *
 * Requests are executed and completed in order, all of a queue (§5.16.6.4: "in order if multiple
 * requests are received at a time"), one transfer after the other. The first request that fails, and
 * every one after it in its group, gets VIRTIO_I2C_MSG_ERR; those before it keep the result that they
 * had. What the guest may not do (an address off the allow-list, a malformed request) ends the transfer
 * where a chip that is not there would end it on a real bus. When the adapter does not say how far a
 * failed transfer got, all its messages fail: a driver that retries must not be told that a write
 * happened when it may not have.
 *
 * A group ends with its first request that links no other, or by `end`, which is for groups whose
 * rest does not come. Nothing of a group outlives it: what comes afterwards is another group, and
 * does not fail because this one did.
 *
 * A group that no single transfer can be (more than {@link I2C_TRANSFER_MAX} messages, one that is too
 * long, or addresses on several host buses) fails whole and is not executed, as I2C_RDWR fails; with `splitGroups` it is
 * several transfers, with a STOP between them. So a group begins when it is complete, or at its
 * first request that may not be executed.
 */
export class GroupExecutor {
  readonly counters: I2cCounters = newCounters();
  readonly #map: AddressMap;
  readonly #logger: Logger;
  readonly #answers: ChainAnswers;
  readonly #splitGroups: boolean;
  readonly #onProgress: () => void;
  readonly #onTransfer: GroupExecutorOptions['onTransfer'];
  readonly #parser = new RequestParser();
  readonly #buffer = new TransferBuffer();
  /** In the order in which they came; those of the transfer under way are the first. */
  readonly #queue: Queued[] = [];
  /** How many of them are detached from their batch. */
  #detached = 0;
  /** The group whose last request linked the next one: it is not complete. */
  #open: Group | undefined;
  /** Groups begun so far. */
  #groups = 0;
  /** The transfer under way, also when those who wanted it are gone: the bus is busy. */
  #transfer: Transfer | undefined;
  #running = false;
  readonly #reported = new Set<string>();

  constructor(options: GroupExecutorOptions) {
    this.#map = options.map;
    this.#logger = options.logger;
    this.#answers = new ChainAnswers(this.counters, options.complete);
    this.#splitGroups = options.splitGroups;
    this.#onProgress = options.onProgress;
    this.#onTransfer = options.onTransfer;
  }

  /**
   * Number of the group that the driver has begun and not completed, undefined when there is none.
   * Its requests wait, or were executed, or have failed already.
   */
  get openGroup(): number | undefined {
    return this.#open === undefined ? undefined : this.#groups;
  }

  /** A transfer is under way. */
  get busy(): boolean {
    return this.#transfer !== undefined;
  }

  /** No request waits to be completed. */
  get idle(): boolean {
    return this.#queue.length === 0;
  }

  /**
   * Takes the next request. It and those that waited for it are executed and completed when it ends
   * its group, or cannot be executed, and the bus is free.
   */
  push(chain: DescriptorChain): void {
    const request = this.#parser.parse(chain);
    if (this.#open === undefined) {
      this.#open = { failed: false, ended: false };
      this.#groups++;
    }
    const group = this.#open;
    const host = request.fault === undefined ? this.#map.hostOf(request.address) : undefined;
    this.#queue.push({ request, group, host });
    if (!request.failNext) this.#endGroup(group);
    this.#run();
  }

  /** Fails a request without looking at what it asks. */
  refuse(chain: DescriptorChain): void {
    this.#answers.fail(chain);
  }

  /**
   * Ends the open group, whose rest does not come: what there is of it is executed, and its failure
   * is over.
   */
  end(): void {
    if (this.#open === undefined) return;
    this.#endGroup(this.#open);
    this.#run();
  }

  /** What has not begun fails when its turn comes, and is not executed any more. */
  giveUp(): void {
    for (let i = this.#transfer?.count ?? 0; i < this.#queue.length; i++) {
      (this.#queue[i] as Queued).group.failed = true;
    }
    this.#run();
  }

  /** Makes the chains that wait outlive the batch that they came in. */
  detach(): void {
    for (let i = this.#detached; i < this.#queue.length; i++) {
      const { request } = this.#queue[i] as Queued;
      request.chain = request.chain.detach();
    }
    this.#detached = this.#queue.length;
  }

  /** Forgets all requests, which are not completed. What is under way on a bus goes on there. */
  drop(): void {
    this.#queue.length = 0;
    this.#detached = 0;
    this.#open = undefined;
    this.#transfer?.drop();
    this.#reported.clear();
  }

  #endGroup(group: Group): void {
    group.ended = true;
    this.#open = undefined;
  }

  /** Does what can be done. A bus that is through at once comes back here. */
  #run(): void {
    if (this.#running) return;
    this.#running = true;
    while (this.#step());
    this.#running = false;
  }

  /** @returns false when the first request in the queue has to wait, or there is none */
  #step(): boolean {
    const first = this.#queue[0];
    // While the first ones are on the bus there is nothing to do for the others.
    if (first === undefined || (this.#transfer?.count ?? 0) > 0) return false;
    const { request, group, host } = first;
    if (!group.failed && host !== undefined) {
      const count = this.#transfer === undefined ? this.#ready(first) : 0;
      if (count > 0) this.#execute(host, count);
      // A group that may not be executed has failed meanwhile.
      return count > 0 || group.failed;
    }
    if (group.failed) this.counters.skipped++;
    else this.#report(request);
    group.failed = true;
    this.#take(1);
    this.#answers.fail(request.chain);
    return true;
  }

  /** How many requests from the first on are one transfer, 0 while more may come or none may be made. */
  #ready({ group, host }: Queued): number {
    for (let count = 1; ; count++) {
      if (count === I2C_TRANSFER_MAX && this.#splitGroups) return count;
      const next = this.#queue[count];
      if (next === undefined) return group.ended ? count : 0;
      if (next.group !== group) return count;
      if (next.host === undefined) {
        if (next.request.fault !== 'oversized') return count;
        group.failed = true;
        this.#report(next.request);
        return 0;
      }
      if (next.host === host && count < I2C_TRANSFER_MAX) continue;
      if (this.#splitGroups) return count;
      group.failed = true;
      this.#reportGroup(next.host === host ? 'longGroups' : 'mixedGroups');
      return 0;
    }
  }

  #take(count: number): Queued[] {
    this.#detached = Math.max(0, this.#detached - count);
    return this.#queue.splice(0, count);
  }

  #execute(host: I2cHost, count: number): void {
    const requests = this.#queue.slice(0, count).map(({ request }) => request);
    const transfer = new Transfer(requests, this.#buffer);
    this.#transfer = transfer;
    this.counters.transfers++;
    try {
      host.transfer(transfer.messages, (done, error) => this.#land(transfer, done, error));
    } catch (error) {
      this.#land(transfer, 0, error);
    }
  }

  /** A transfer is over: a host that fails, in whatever way, fails it and nothing else. */
  #land(transfer: Transfer, succeeded: number, error: unknown): void {
    // A host that says it twice.
    if (this.#transfer !== transfer) return;
    this.#transfer = undefined;
    if (error !== undefined) this.#logFailure(transfer, error);
    const done = error === undefined ? succeeded : 0;
    if (!(done >= transfer.messages.length)) this.counters.failedTransfers++;
    this.#complete(transfer, done);
    // After the requests are answered: what goes wrong in it is not theirs.
    this.#onTransfer(transfer.messages, done, error);
    if (this.#running) return;
    this.#run();
    this.#onProgress();
  }

  #complete({ count, messages }: Transfer, done: number): void {
    const taken = this.#take(count);
    for (let i = 0; i < count; i++) {
      const { request, group } = taken[i] as Queued;
      const data = messages[i]?.data;
      if (i < done && data !== undefined) {
        this.#answers.succeed(request, data);
        continue;
      }
      group.failed = true;
      this.#answers.fail(request.chain);
    }
  }

  #logFailure({ messages }: Transfer, error: unknown): void {
    const code = errorCode(error) ?? 'UNKNOWN';
    // No acknowledgement is everyday life on a bus (and what a scan looks like).
    const level = code === 'NO_DEVICE' ? 'debug' : 'warn';
    const address = formatI2cAddress(messages[0]?.address ?? 0);
    if (level === 'debug' || this.#first(code)) {
      this.#logger[level]({ code, address, error: errorMessage(error) }, 'transfer failed');
    }
  }

  /**
   * Counts why a request may not be executed. The log tells of the first of each kind, the counters of
   * all: a guest must not fill the disk.
   */
  #report({ fault, address, read, length }: I2cRequest): void {
    const kind = fault ?? (isTenBit(address) ? 'tenBit' : 'denied');
    this.counters[kind]++;
    // A guest that scans its bus does this for each address; it is not worth a log line.
    if (kind === 'denied' || !this.#first(kind)) return;
    this.#logger.warn(
      { kind, address: formatI2cAddress(address), read, length },
      'request refused',
    );
  }

  /** The same of a whole group. */
  #reportGroup(kind: 'longGroups' | 'mixedGroups'): void {
    this.counters[kind]++;
    if (!this.#first(kind)) return;
    const why =
      kind === 'longGroups'
        ? `it has more than ${I2C_TRANSFER_MAX} messages`
        : 'its chips are on several adapters';
    this.#logger.warn(
      { kind },
      `transfer refused: ${why}; --split-groups makes several of it, with a STOP between them`,
    );
  }

  #first(kind: string): boolean {
    if (this.#reported.has(kind)) return false;
    this.#reported.add(kind);
    return true;
  }
}
