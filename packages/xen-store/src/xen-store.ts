import { errorMessage, type Logger, type Poller, silentLogger } from '@node-vmm/vmm-sys-util';
import { type ByteStream, openStream } from './byte-stream.ts';
import { type RequestOptions, XenStoreConnection } from './connection.ts';
import { XenStoreError } from './errors.ts';
import { formatPermission, type Permission, parsePermission } from './permissions.ts';
import { Subscriptions, type WatchCallback } from './subscriptions.ts';
import * as wire from './wire.ts';

const MAX_TRANSACTION_ATTEMPTS = 100;
/** A directory that changes for ever while it is read in parts. */
const MAX_DIRECTORY_ATTEMPTS = 20;
const VALID_PATH = /^@?[A-Za-z0-9\-/_@]+$/;

/** Operations that a transaction has too. */
export interface XenStoreOperations {
  /** @throws {XenStoreError} ENOENT, EACCES */
  read(path: string, options?: RequestOptions): Promise<string>;
  readBytes(path: string, options?: RequestOptions): Promise<Uint8Array>;
  /** Writes a node, making it and its parents when they do not exist. */
  write(path: string, value: string | Uint8Array, options?: RequestOptions): Promise<void>;
  /** Names of a node's children, however many. */
  directory(path: string, options?: RequestOptions): Promise<string[]>;
  /** Makes a node if it does not exist. */
  mkdir(path: string, options?: RequestOptions): Promise<void>;
  /** Removes a node and everything below it. @throws {XenStoreError} ENOENT when its parent is missing */
  rm(path: string, options?: RequestOptions): Promise<void>;
  getPermissions(path: string, options?: RequestOptions): Promise<Permission[]>;
  setPermissions(
    path: string,
    permissions: readonly Permission[],
    options?: RequestOptions,
  ): Promise<void>;
}

/** A watch; disposing it ends it. No callback runs afterwards. */
export interface Subscription extends Disposable {
  close(): void;
}

/** What a client works with. */
export interface XenStoreComponents {
  readonly poller: Poller;
  readonly logger?: Logger;
}

class Operations implements XenStoreOperations {
  protected readonly connection: XenStoreConnection;
  readonly #txId: number;

  constructor(connection: XenStoreConnection, txId: number) {
    this.connection = connection;
    this.#txId = txId;
  }

  protected send(
    type: number,
    path: string,
    payload: Uint8Array,
    options: RequestOptions | undefined,
  ): Promise<Uint8Array> {
    if (!VALID_PATH.test(path) || path.length > wire.XENSTORE_ABS_PATH_MAX) {
      const text = `Cannot use xenstore path "${path.slice(0, 100)}": letters, digits and -/_@ are allowed, up to ${wire.XENSTORE_ABS_PATH_MAX}`;
      return Promise.reject(new XenStoreError('INVALID_PATH', text, path));
    }
    return this.connection.request(type, this.#txId, payload, path, options);
  }

  async read(path: string, options?: RequestOptions): Promise<string> {
    return wire.decodeText(await this.readBytes(path, options));
  }

  readBytes(path: string, options?: RequestOptions): Promise<Uint8Array> {
    return this.send(wire.XS_READ, path, wire.encodeStrings(path), options);
  }

  async write(path: string, value: string | Uint8Array, options?: RequestOptions): Promise<void> {
    const bytes = typeof value === 'string' ? wire.encodeText(value) : value;
    await this.send(wire.XS_WRITE, path, wire.encodeStringAndBytes(path, bytes), options);
  }

  async directory(path: string, options?: RequestOptions): Promise<string[]> {
    try {
      const payload = wire.encodeStrings(path);
      return wire.decodeStrings(await this.send(wire.XS_DIRECTORY, path, payload, options));
    } catch (error) {
      if (!XenStoreError.is(error, 'E2BIG')) throw error;
      return await this.#largeDirectory(path, options);
    }
  }

  /** A directory over one message is read in parts; a generation count tells when it changed. */
  async #largeDirectory(path: string, options: RequestOptions | undefined): Promise<string[]> {
    for (let attempt = 0; attempt < MAX_DIRECTORY_ATTEMPTS; attempt++) {
      let offset = 0;
      let generation: string | undefined;
      const parts: Uint8Array[] = [];
      for (;;) {
        const payload = wire.encodeStrings(path, String(offset));
        const part = await this.send(wire.XS_DIRECTORY_PART, path, payload, options);
        const end = part.indexOf(0);
        const found = wire.decodeText(part.subarray(0, Math.max(end, 0)));
        if (end < 0)
          throw new XenStoreError('PROTOCOL', 'Cannot parse a part of a directory', path);
        if (generation !== undefined && found !== generation) break;
        generation = found;
        const names = part.subarray(end + 1);
        // The last part ends with one zero byte more.
        const last =
          names.length === 0 || (names.length > 1 && names.at(-2) === 0) || names[0] === 0;
        parts.push(last ? names.subarray(0, Math.max(names.length - 1, 0)) : names);
        if (last) return parts.flatMap((piece) => wire.decodeStrings(piece));
        offset += names.length;
      }
    }
    throw new XenStoreError('EAGAIN', `Cannot read directory ${path}: it keeps changing`, path);
  }

  async mkdir(path: string, options?: RequestOptions): Promise<void> {
    await this.send(wire.XS_MKDIR, path, wire.encodeStrings(path), options);
  }

  async rm(path: string, options?: RequestOptions): Promise<void> {
    await this.send(wire.XS_RM, path, wire.encodeStrings(path), options);
  }

  async getPermissions(path: string, options?: RequestOptions): Promise<Permission[]> {
    const answer = await this.send(wire.XS_GET_PERMS, path, wire.encodeStrings(path), options);
    return wire.decodeStrings(answer).map(parsePermission);
  }

  async setPermissions(
    path: string,
    permissions: readonly Permission[],
    options?: RequestOptions,
  ): Promise<void> {
    if (permissions.length === 0) throw new RangeError('"permissions" expected at least the owner');
    const payload = wire.encodeStrings(path, ...permissions.map(formatPermission));
    await this.send(wire.XS_SET_PERMS, path, payload, options);
  }
}

/**
 * A client of the xenstore, over xenstored's socket or `/dev/xen/xenbus`. Paths that do not start with
 * `/` are relative to this domain's own directory.
 */
export class XenStore extends Operations implements Disposable {
  readonly #subscriptions: Subscriptions;
  readonly #logger: Logger;
  readonly #closed: Promise<Error>;

  private constructor(
    connection: XenStoreConnection,
    subscriptions: Subscriptions,
    logger: Logger,
    closed: Promise<Error>,
  ) {
    super(connection, 0);
    this.#subscriptions = subscriptions;
    this.#logger = logger;
    this.#closed = closed;
  }

  /**
   * Connects.
   *
   * @param path - socket or device; default: `XENSTORED_PATH`, xenstored's socket, `/dev/xen/xenbus`
   * @throws {XenStoreError} NOT_RUNNING
   */
  static open(components: XenStoreComponents, path?: string): XenStore {
    return XenStore.over(components, openStream(path));
  }

  /** A client on a stream of one's own, which it then owns. */
  static over(components: XenStoreComponents, stream: ByteStream): XenStore {
    const subscriptions = new Subscriptions();
    let lost: (reason: Error) => void = () => undefined;
    const closed = new Promise<Error>((resolve) => {
      lost = resolve;
    });
    const connection = new XenStoreConnection(stream, components.poller, {
      onEvent: (payload) => subscriptions.event(payload),
      onClose: (reason) => lost(reason),
    });
    return new XenStore(connection, subscriptions, components.logger ?? silentLogger, closed);
  }

  /** Ends with the reason when the connection is lost; never after `close`. */
  get lost(): Promise<Error> {
    return this.#closed;
  }

  /**
   * Watches a node and everything below it, or `@introduceDomain`, `@releaseDomain`. The callback is
   * called once at first, then after changes; changes of one path between two turns of the event loop
   * are reported once.
   *
   * @throws {XenStoreError}
   */
  async watch(
    path: string,
    callback: WatchCallback,
    options?: RequestOptions,
  ): Promise<Subscription> {
    const token = this.#subscriptions.add(path, callback);
    try {
      await this.send(wire.XS_WATCH, path, wire.encodeStrings(path, token), options);
    } catch (error) {
      this.#subscriptions.delete(token);
      throw error;
    }
    const close = (): void => {
      if (!this.#subscriptions.delete(token)) return;
      this.send(wire.XS_UNWATCH, path, wire.encodeStrings(path, token), undefined).catch(
        (error: unknown) => {
          if (XenStoreError.is(error, 'CLOSED')) return;
          this.#logger.warn({ path, error: errorMessage(error) }, 'cannot end a xenstore watch');
        },
      );
    };
    return { close, [Symbol.dispose]: close };
  }

  /**
   * Runs operations that take effect together or not at all. The body runs again when somebody else
   * changed what it saw.
   *
   * @throws what the body throws, which undoes everything; {XenStoreError} EAGAIN after 100 attempts
   */
  async transaction<T>(
    body: (operations: XenStoreOperations) => Promise<T>,
    options?: RequestOptions,
  ): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      const started = await this.connection.request(
        wire.XS_TRANSACTION_START,
        0,
        wire.encodeStrings(''),
        undefined,
        options,
      );
      const txId = Number(wire.decodeStrings(started)[0]);
      if (!Number.isInteger(txId) || txId <= 0) {
        throw new XenStoreError('PROTOCOL', 'Cannot start a xenstore transaction: it has no id');
      }
      const end = (how: 'T' | 'F'): Promise<Uint8Array> =>
        this.connection.request(wire.XS_TRANSACTION_END, txId, wire.encodeStrings(how), undefined);
      let result: T;
      try {
        result = await body(new Operations(this.connection, txId));
      } catch (error) {
        await end('F').catch(() => undefined);
        throw error;
      }
      try {
        await end('T');
        return result;
      } catch (error) {
        if (!XenStoreError.is(error, 'EAGAIN') || attempt >= MAX_TRANSACTION_ATTEMPTS) throw error;
      }
    }
  }

  /** Path of a domain's directory, `/local/domain/<domid>`. */
  async getDomainPath(domid: number, options?: RequestOptions): Promise<string> {
    const payload = wire.encodeStrings(String(domid));
    const answer = await this.connection.request(
      wire.XS_GET_DOMAIN_PATH,
      0,
      payload,
      undefined,
      options,
    );
    return wire.decodeStrings(answer)[0] ?? '';
  }

  /** True when the xenstore knows the domain. */
  async isDomainIntroduced(domid: number, options?: RequestOptions): Promise<boolean> {
    const payload = wire.encodeStrings(String(domid));
    const answer = await this.connection.request(
      wire.XS_IS_DOMAIN_INTRODUCED,
      0,
      payload,
      undefined,
      options,
    );
    return wire.decodeStrings(answer)[0] === 'T';
  }

  /** Idempotent; watches end, requests under way fail with CLOSED. */
  close(): void {
    this.connection.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
