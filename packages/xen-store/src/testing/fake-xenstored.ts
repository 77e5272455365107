import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { XENSTORE_PAYLOAD_MAX, XSD_SOCKMSG } from '../abi/xs-wire.ts';
import { XenStoreError } from '../errors.ts';
import { FakeClient } from './fake-client.ts';
import { FakeTree } from './fake-tree.ts';

/** Options of a fake. */
export interface FakeXenStoredOptions {
  /** Socket to listen on; default one in a directory of its own, removed on close. */
  readonly path?: string;
  /** Domain that connections come from, default 0, which may do everything. */
  readonly domid?: number;
  /** Whether it serves XS_DIRECTORY_PART, default true. */
  readonly directoryPart?: boolean;
}

interface Fault {
  readonly code: string;
  times: number;
}

/**
 * A xenstored in memory that speaks the wire protocol on a Unix socket: nodes, permissions, watches
 * and transactions, and faults on demand.
 */
export class FakeXenStored implements AsyncDisposable {
  readonly path: string;
  readonly directoryPart: boolean;
  /** Domains that are introduced. */
  readonly introduced = new Set<number>([0]);
  readonly clients = new Set<FakeClient>();
  /** Requests that came, of all clients. */
  requests = 0;
  readonly #domid: number;
  readonly #directory: string | undefined;
  readonly #server: Server;
  readonly #faults = new Map<number, Fault>();
  readonly #held: (() => void)[] = [];
  #holding = false;
  #tree = new FakeTree();

  private constructor(options: FakeXenStoredOptions) {
    this.#directory =
      options.path === undefined ? mkdtempSync(join(tmpdir(), 'xenstored-')) : undefined;
    this.path = options.path ?? join(this.#directory ?? '', 'socket');
    this.#domid = options.domid ?? 0;
    this.directoryPart = options.directoryPart ?? true;
    this.#server = createServer((socket) => this.#connect(socket));
  }

  /** Starts listening. Rejects with Node's error when the path cannot be bound. */
  static async start(options: FakeXenStoredOptions = {}): Promise<FakeXenStored> {
    const fake = new FakeXenStored(options);
    await new Promise<void>((resolve, reject) => {
      fake.#server.once('error', reject);
      fake.#server.listen(fake.path, resolve);
    });
    return fake;
  }

  /** The nodes, to look at or to prepare; tell watchers of changes with {@link flush}. */
  get tree(): FakeTree {
    return this.#tree;
  }

  /** Watches set by all clients. */
  get watches(): number {
    return [...this.clients].reduce((sum, client) => sum + client.watches, 0);
  }

  /** Transactions open at all clients. */
  get transactions(): number {
    return [...this.clients].reduce((sum, client) => sum + client.transactions, 0);
  }

  #connect(socket: Socket): void {
    this.clients.add(new FakeClient(this, socket, this.#domid));
  }

  /** Another end of a connection, such as one of a socket pair. */
  attach(socket: Socket, domid: number = this.#domid): FakeClient {
    const client = new FakeClient(this, socket, domid);
    this.clients.add(client);
    return client;
  }

  /** Writes as the toolstack, domain 0. */
  write(path: string, value: string): void {
    this.#tree.write(path, new TextEncoder().encode(value), 0);
    this.flush();
  }

  /** Removes as the toolstack. */
  rm(path: string): void {
    this.#tree.rm(path, 0);
    this.flush();
  }

  /** A domain appears: `@introduceDomain` fires. */
  introduce(domid: number): void {
    this.introduced.add(domid);
    for (const client of this.clients) client.notify('@introduceDomain');
  }

  /** A domain goes: `@releaseDomain` fires. */
  release(domid: number): void {
    this.introduced.delete(domid);
    for (const client of this.clients) client.notify('@releaseDomain');
  }

  /** Tells watchers of everything that changed. */
  flush(): void {
    for (const path of this.#tree.changed.splice(0)) {
      for (const client of this.clients) client.notify(path);
    }
  }

  /** Makes requests of a type fail: `failNext(XS_READ, 'EIO')`. */
  failNext(type: number, code: string, times = 1): void {
    this.#faults.set(type, { code, times });
  }

  /** From now on requests are taken but not handled, until {@link resume}. */
  hold(): void {
    this.#holding = true;
  }

  /** Handles what was held. */
  resume(): void {
    this.#holding = false;
    for (const run of this.#held.splice(0)) run();
  }

  /** Handles the oldest request that is held, and goes on holding. */
  step(): void {
    this.#held.shift()?.();
  }

  /** Requests that are held. */
  get held(): number {
    return this.#held.length;
  }

  /** Breaks every connection. */
  dropConnections(): void {
    for (const client of this.clients) client.drop();
  }

  /** Sends every client a message longer than the protocol permits. */
  sendOversized(): void {
    const head = XSD_SOCKMSG.encode({ type: 2, req_id: 1, len: XENSTORE_PAYLOAD_MAX + 1 });
    for (const client of this.clients) client.sendRaw(head);
  }

  /** For the clients. */
  gate(run: () => void): void {
    this.requests++;
    if (this.#holding) this.#held.push(run);
    else run();
  }

  /** For the clients. @throws {XenStoreError} when a fault is due */
  maybeFail(type: number): void {
    const fault = this.#faults.get(type);
    if (fault === undefined) return;
    fault.times--;
    if (fault.times <= 0) this.#faults.delete(type);
    throw new XenStoreError(fault.code, fault.code);
  }

  /** For the clients: a transaction takes effect. */
  adopt(tree: FakeTree): void {
    this.#tree = tree;
  }

  /** For the clients. */
  gone(client: FakeClient): void {
    this.clients.delete(client);
  }

  /** Breaks every connection and stops listening. Idempotent. */
  async close(): Promise<void> {
    this.dropConnections();
    if (this.#server.listening) {
      await new Promise<void>((resolve) => {
        this.#server.close(() => resolve());
      });
    }
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
