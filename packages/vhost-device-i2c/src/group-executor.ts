import {
  VIRTIO_I2C_IN_HDR,
  VIRTIO_I2C_MSG_ERR,
  VIRTIO_I2C_MSG_OK,
  VIRTIO_I2C_OUT_HDR,
} from '@node-vmm/virtio-bindings';
import type { DescriptorChain } from '@node-vmm/virtio-queue';
import { errorCode, errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import type { AddressMap } from './address-map.ts';
import { type I2cCounters, newCounters } from './counters.ts';
import { I2C_MESSAGE_MAX, I2C_TRANSFER_MAX, type I2cHost, type I2cMessage } from './i2c-host.ts';
import { type I2cRequest, RequestParser } from './request.ts';

/** Returns a chain to the driver. */
export type Complete = (chain: DescriptorChain, written: number) => void;

const INITIAL_SCRATCH = 4096;

/**
 * Puts requests together to the groups that the driver linked by VIRTIO_I2C_FLAGS_FAIL_NEXT, and
 * executes each group as one combined transfer: a write and the read after it must not be parted by
 * a STOP.
 *
 * Requests are executed and completed in order. The first request that fails, and every one after it
 * in its group, gets VIRTIO_I2C_MSG_ERR; those before it keep the result that they had. What the
 * guest may not do (an address off the allow-list, a malformed request) ends the transfer where a
 * chip that is not there would end it on a real bus. When the adapter does not say how far a failed
 * transfer got, all its messages fail: a driver that retries must not be told that a write happened
 * when it may not have.
 *
 * A group ends with its first request that links no other, or by `end`, which is for groups whose
 * rest does not come. Nothing of a group outlives it: what comes afterwards is another group, and
 * does not fail because this one did.
 *
 * Two cases need more than one transfer for a group, with a STOP between them: more than
 * {@link I2C_TRANSFER_MAX} messages, and addresses on several host buses.
 */
export class GroupExecutor {
  readonly counters: I2cCounters = newCounters();
  readonly #map: AddressMap;
  readonly #logger: Logger;
  readonly #parser = new RequestParser();
  /** Requests of the open group, not yet executed; never more than one transfer holds. */
  readonly #pending: I2cRequest[] = [];
  /** How many of them are detached from their batch. */
  #detached = 0;
  /** The last request linked the next one: its group is not complete. */
  #open = false;
  /** Groups begun so far. */
  #groups = 0;
  /** A request of the open group failed. */
  #failed = false;
  /** One buffer for all the data of a transfer. */
  #scratch = new Uint8Array(INITIAL_SCRATCH);
  readonly #status = new Uint8Array(VIRTIO_I2C_IN_HDR.SIZE);
  readonly #reported = new Set<string>();

  constructor(map: AddressMap, logger: Logger) {
    this.#map = map;
    this.#logger = logger;
  }

  /**
   * Number of the group that the driver has begun and not completed, undefined when there is none.
   * Its requests wait, or were executed, or have failed already.
   */
  get openGroup(): number | undefined {
    return this.#open ? this.#groups : undefined;
  }

  /**
   * Takes the next request. It and those that waited for it are executed and completed when it ends
   * its group, or cannot be executed.
   */
  push(chain: DescriptorChain, complete: Complete): void {
    const request = this.#parser.parse(chain);
    if (!this.#open) {
      this.#open = true;
      this.#groups++;
    }
    if (this.#failed) {
      this.counters.skipped++;
      this.#fail(request.chain, complete);
    } else if (!this.#admit(request)) {
      this.#flush(complete);
      this.#fail(request.chain, complete);
      this.#failed = true;
    } else {
      this.#pending.push(request);
      if (!request.failNext || this.#pending.length === I2C_TRANSFER_MAX) this.#flush(complete);
    }
    if (!request.failNext) this.#endGroup();
  }

  /** Fails a request without looking at what it asks. */
  refuse(chain: DescriptorChain, complete: Complete): void {
    this.#fail(chain, complete);
  }

  /**
   * Ends the open group, whose rest does not come: what there is of it is executed, and its failure
   * is over.
   */
  end(complete: Complete): void {
    this.#flush(complete);
    this.#endGroup();
  }

  #endGroup(): void {
    this.#open = false;
    this.#failed = false;
  }

  /** Executes what there is of the open group. */
  #flush(complete: Complete): void {
    const requests = this.#pending;
    let at = 0;
    while (at < requests.length) {
      const host = this.#hostOf(requests[at] as I2cRequest);
      let end = at + 1;
      while (end < requests.length && this.#hostOf(requests[end] as I2cRequest) === host) end++;
      if (this.#failed) {
        for (let i = at; i < end; i++) this.#fail((requests[i] as I2cRequest).chain, complete);
      } else {
        this.#execute(host, at, end, complete);
      }
      at = end;
    }
    requests.length = 0;
    this.#detached = 0;
  }

  /** Makes the chains that wait outlive the batch that they came in. */
  detach(): void {
    for (let i = this.#detached; i < this.#pending.length; i++) {
      const request = this.#pending[i] as I2cRequest;
      request.chain = request.chain.detach();
    }
    this.#detached = this.#pending.length;
  }

  /** Forgets the open group; its chains are not completed. */
  drop(): void {
    this.#pending.length = 0;
    this.#detached = 0;
    this.#endGroup();
    this.#reported.clear();
  }

  #hostOf(request: I2cRequest): I2cHost {
    return this.#map.hostOf(request.address) as I2cHost;
  }

  /** True when the request may be executed; counts the reason otherwise. */
  #admit(request: I2cRequest): boolean {
    if (request.fault !== undefined) {
      this.counters[request.fault]++;
      this.#report(request.fault, request);
      return false;
    }
    if (this.#map.hostOf(request.address) !== undefined) return true;
    // A guest that scans its bus does this for each address; it is not worth a log line.
    this.counters.denied++;
    return false;
  }

  #execute(host: I2cHost, first: number, end: number, complete: Complete): void {
    const messages = this.#messages(first, end);
    const done = this.#transfer(host, messages);
    for (let i = first; i < end; i++) {
      const request = this.#pending[i] as I2cRequest;
      if (i - first < done) this.#succeed(request, messages[i - first] as I2cMessage, complete);
      else this.#fail(request.chain, complete);
    }
    if (done < end - first) this.#failed = true;
  }

  /** Lays the data out in the scratch buffer; writes are copied from the guest. */
  #messages(first: number, end: number): I2cMessage[] {
    let size = 0;
    for (let i = first; i < end; i++) size += (this.#pending[i] as I2cRequest).length;
    const scratch = this.#reserve(size);
    const messages: I2cMessage[] = [];
    let at = 0;
    for (let i = first; i < end; i++) {
      const { chain, address, read, length } = this.#pending[i] as I2cRequest;
      const data = scratch.subarray(at, at + length);
      if (!read) chain.read(data, VIRTIO_I2C_OUT_HDR.SIZE);
      messages.push({ address, read, data });
      at += length;
    }
    return messages;
  }

  /** Never throws: a host that fails, in whatever way, fails the transfer and nothing else. */
  #transfer(host: I2cHost, messages: readonly I2cMessage[]): number {
    this.counters.transfers++;
    let done = 0;
    try {
      done = host.transfer(messages);
    } catch (error) {
      const code = errorCode(error) ?? 'UNKNOWN';
      // No acknowledgement is everyday life on a bus (and what a scan looks like).
      const level = code === 'NO_DEVICE' ? 'debug' : 'warn';
      const address = messages[0]?.address;
      if (level === 'debug' || this.#first(code)) {
        this.#logger[level]({ code, address, error: errorMessage(error) }, 'transfer failed');
      }
    }
    if (done < messages.length) this.counters.failedTransfers++;
    return done;
  }

  #succeed({ chain, read }: I2cRequest, { data }: I2cMessage, complete: Complete): void {
    this.counters.requests++;
    this.#status[0] = VIRTIO_I2C_MSG_OK;
    const written = read ? chain.write(data, 0) : 0;
    complete(chain, written + chain.write(this.#status, written));
  }

  /**
   * Answers VIRTIO_I2C_MSG_ERR in the last writable byte, whatever the request looks like. The bytes
   * in front of it are zeroed, so that the length that we report is the length that we wrote
   * (VIRTIO 1.3 §2.7.8.2); where they are more than any request may have, the length is 0.
   */
  #fail(chain: DescriptorChain, complete: Complete): void {
    this.counters.requests++;
    this.counters.errors++;
    const writable = chain.writableLength;
    if (writable === 0) {
      complete(chain, 0);
    } else if (writable <= I2C_MESSAGE_MAX + VIRTIO_I2C_IN_HDR.SIZE) {
      const answer = this.#reserve(writable).subarray(0, writable);
      answer.fill(0);
      answer[writable - 1] = VIRTIO_I2C_MSG_ERR;
      complete(chain, chain.write(answer, 0));
    } else {
      this.#status[0] = VIRTIO_I2C_MSG_ERR;
      chain.write(this.#status, writable - 1);
      complete(chain, 0);
    }
  }

  /** The scratch buffer, at least `size` long: up to one full transfer, about 340 KiB. */
  #reserve(size: number): Uint8Array {
    if (size > this.#scratch.length) {
      this.#scratch = new Uint8Array(2 ** Math.ceil(Math.log2(size)));
    }
    return this.#scratch;
  }

  /** The log tells of the first of each kind, the counters of all: a guest must not fill the disk. */
  #report(kind: string, request: I2cRequest): void {
    if (!this.#first(kind)) return;
    const { address, read, length } = request;
    this.#logger.warn({ kind, address, read, length }, 'request refused');
  }

  #first(kind: string): boolean {
    if (this.#reported.has(kind)) return false;
    this.#reported.add(kind);
    return true;
  }
}
