import { XS_GET_PERMS, XS_MKDIR, XS_READ, XS_RM, XS_SET_PERMS, XS_WRITE } from './abi/xs-wire.ts';
import type { Connection, RequestOptions } from './connection.ts';
import { readDirectory } from './directory.ts';
import { isNotFound } from './errors.ts';
import {
  decodeStrings,
  decodeValue,
  encodeStringAndBytes,
  encodeStrings,
  encodeValue,
} from './message.ts';
import { checkPath } from './path.ts';
import { formatPermission, type Permission, parsePermission } from './permissions.ts';

/**
 * Operations on nodes, in a transaction or not. All reject with `XenStoreError`: the error name of
 * xenstored (ENOENT, EACCES, EINVAL, ENOSPC ...), TIMEOUT, DISCONNECTED, CLOSED, TOO_LARGE; or with
 * the reason of `signal`.
 */
export abstract class StoreOperations {
  protected connection: Connection;
  protected readonly transactionId: number;

  protected constructor(connection: Connection, transactionId: number) {
    this.connection = connection;
    this.transactionId = transactionId;
  }

  /** Refuses use after the end. @throws {XenStoreError} */
  protected check(): void {}

  async #node(
    type: number,
    verb: string,
    path: string,
    options: RequestOptions,
    payload: () => Uint8Array = () => encodeStrings(path),
  ): Promise<Uint8Array> {
    this.check();
    checkPath(path);
    return this.connection.request({
      type,
      payload: payload(),
      transactionId: this.transactionId,
      action: `${verb} ${path}`,
      path,
      signal: options.signal,
      timeout: options.timeout,
    });
  }

  /** Value of a node, as UTF-8 text. */
  async read(path: string, options: RequestOptions = {}): Promise<string> {
    return decodeValue(await this.readBytes(path, options));
  }

  /** Value of a node. */
  readBytes(path: string, options: RequestOptions = {}): Promise<Uint8Array> {
    return this.#node(XS_READ, 'read', path, options);
  }

  /** Value of a node; undefined when there is none of that path. */
  async tryRead(path: string, options: RequestOptions = {}): Promise<string | undefined> {
    try {
      return await this.read(path, options);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Sets a node's value; creates it, and its parents with empty values, where they are missing. */
  async write(
    path: string,
    value: string | Uint8Array,
    options: RequestOptions = {},
  ): Promise<void> {
    await this.#node(XS_WRITE, 'write', path, options, () =>
      encodeStringAndBytes(path, encodeValue(value)),
    );
  }

  /**
   * Names of a node's children, in no particular order. A list too large for one message is read in
   * parts.
   */
  directory(path: string, options: RequestOptions = {}): Promise<string[]> {
    return readDirectory(
      (type, payload) => this.#node(type, 'list', path, options, () => payload),
      path,
    );
  }

  /** Removes a node and everything below. No error when it does not exist but its parent does. */
  async rm(path: string, options: RequestOptions = {}): Promise<void> {
    await this.#node(XS_RM, 'remove', path, options);
  }

  /** Creates a node with an empty value, and its parents; leaves what exists. */
  async mkdir(path: string, options: RequestOptions = {}): Promise<void> {
    await this.#node(XS_MKDIR, 'create', path, options);
  }

  /** Permissions of a node, the owner's entry first. */
  async getPermissions(path: string, options: RequestOptions = {}): Promise<Permission[]> {
    const payload = await this.#node(XS_GET_PERMS, 'read permissions of', path, options);
    return decodeStrings(payload).map(parsePermission);
  }

  /**
   * Sets the permissions of a node.
   *
   * @param permissions - the owner's entry first
   * @throws {RangeError} without an entry
   */
  async setPermissions(
    path: string,
    permissions: readonly Permission[],
    options: RequestOptions = {},
  ): Promise<void> {
    if (permissions.length === 0) throw new RangeError('"permissions" expected an owner, got none');
    await this.#node(XS_SET_PERMS, 'set permissions of', path, options, () =>
      encodeStrings(path, ...permissions.map(formatPermission)),
    );
  }
}
