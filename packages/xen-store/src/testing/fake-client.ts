import type { Socket } from 'node:net';
import {
  XENSTORE_PAYLOAD_MAX,
  XS_DIRECTORY,
  XS_DIRECTORY_PART,
  XS_ERROR,
  XS_GET_DOMAIN_PATH,
  XS_GET_PERMS,
  XS_IS_DOMAIN_INTRODUCED,
  XS_MKDIR,
  XS_READ,
  XS_RM,
  XS_SET_PERMS,
  XS_TRANSACTION_END,
  XS_TRANSACTION_START,
  XS_UNWATCH,
  XS_WATCH,
  XS_WATCH_EVENT,
  XS_WRITE,
} from '../abi/xs-wire.ts';
import { XenStoreError } from '../errors.ts';
import {
  decodeStrings,
  encodeMessage,
  encodeStringAndBytes,
  encodeStrings,
  type Message,
  MessageParser,
} from '../message.ts';
import { checkPath } from '../path.ts';
import { formatPermission, parsePermission } from '../permissions.ts';
import { FakeTree } from './fake-tree.ts';
import type { FakeXenStored } from './fake-xenstored.ts';

const OK = encodeStrings('OK');

interface FakeTransaction {
  readonly tree: FakeTree;
  /** Generation of the store when it began. */
  readonly base: number;
  wrote: boolean;
}

interface FakeWatch {
  /** As the client gave it. */
  readonly given: string;
  readonly path: string;
  readonly token: string;
}

function fail(code: string): never {
  throw new XenStoreError(code, code);
}

/** One connection to the fake. */
export class FakeClient {
  readonly #server: FakeXenStored;
  readonly #socket: Socket;
  readonly #domid: number;
  readonly #parser = new MessageParser();
  readonly #transactions = new Map<number, FakeTransaction>();
  readonly #watches: FakeWatch[] = [];
  #nextTransaction = 1;

  constructor(server: FakeXenStored, socket: Socket, domid: number) {
    this.#server = server;
    this.#socket = socket;
    this.#domid = domid;
    socket.on('data', (bytes) => {
      try {
        this.#parser.push(bytes, (message) => this.#onMessage(message));
      } catch {
        // As xenstored: a client that sends too much is disconnected.
        socket.destroy();
      }
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => server.gone(this));
  }

  /** Watches that are set. */
  get watches(): number {
    return this.#watches.length;
  }

  /** Transactions that have not ended. */
  get transactions(): number {
    return this.#transactions.size;
  }

  drop(): void {
    this.#socket.destroy();
  }

  /** Sends bytes as they are, protocol or not. */
  sendRaw(bytes: Uint8Array): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes);
  }

  /** A path changed: tells those who watch it. */
  notify(changed: string): void {
    for (const { given, path, token } of this.#watches) {
      const below = changed === path || path === '/' || changed.startsWith(`${path}/`);
      // What is removed takes the watched node below it along.
      const above = path.startsWith(`${changed}/`);
      if (below || above) this.#event(below ? given + changed.slice(path.length) : given, token);
    }
  }

  #event(path: string, token: string): void {
    const payload = encodeStrings(path, token);
    this.sendRaw(encodeMessage({ type: XS_WATCH_EVENT, requestId: 0, transactionId: 0, payload }));
  }

  #onMessage(message: Message): void {
    this.#server.gate(() => this.#serve(message));
  }

  #serve(message: Message): void {
    const { type, requestId, transactionId } = message;
    const answer = (replyType: number, payload: Uint8Array): void =>
      this.sendRaw(encodeMessage({ type: replyType, requestId, transactionId, payload }));
    try {
      this.#server.maybeFail(type);
      const payload = this.#handle(message);
      if (payload.length > XENSTORE_PAYLOAD_MAX) fail('E2BIG');
      answer(type, payload);
    } catch (error) {
      if (!XenStoreError.is(error)) throw error;
      answer(XS_ERROR, encodeStrings(error.code));
    }
    if (type === XS_WATCH) this.#firstEvent(message);
    this.#server.flush();
  }

  #firstEvent(message: Message): void {
    const [given, token] = decodeStrings(message.payload);
    const watch = this.#watches.find((entry) => entry.given === given && entry.token === token);
    if (watch !== undefined) this.#event(watch.given, watch.token);
  }

  #absolute(path: string, special = false): string {
    checkPath(path, special);
    return path.startsWith('/') || path.startsWith('@')
      ? path
      : `/local/domain/${this.#domid}/${path}`;
  }

  #handle(message: Message): Uint8Array {
    const { type, payload, transactionId } = message;
    const transaction = this.#transactions.get(transactionId);
    if (transactionId !== 0 && transaction === undefined) fail('ENOENT');
    switch (type) {
      case XS_TRANSACTION_START:
        return this.#startTransaction();
      case XS_TRANSACTION_END:
        return this.#endTransaction(transactionId, decodeStrings(payload)[0] === 'T');
      case XS_WATCH:
      case XS_UNWATCH:
        return this.#watch(type, payload);
      case XS_GET_DOMAIN_PATH:
        return encodeStrings(`/local/domain/${Number(decodeStrings(payload)[0])}`);
      case XS_IS_DOMAIN_INTRODUCED:
        return encodeStrings(
          this.#server.introduced.has(Number(decodeStrings(payload)[0])) ? 'T' : 'F',
        );
      default: {
        const tree = transaction?.tree ?? this.#server.tree;
        const before = tree.changed.length;
        const reply = this.#node(tree, type, payload);
        if (transaction !== undefined && tree.changed.length > before) transaction.wrote = true;
        return reply;
      }
    }
  }

  #node(tree: FakeTree, type: number, payload: Uint8Array): Uint8Array {
    const end = payload.indexOf(0);
    if (end < 0) fail('EINVAL');
    const path = this.#absolute(decodeStrings(payload.subarray(0, end))[0] ?? '');
    const rest = payload.subarray(end + 1);
    const domid = this.#domid;
    switch (type) {
      case XS_READ:
        return tree.read(path, domid);
      case XS_WRITE:
        tree.write(path, rest.slice(), domid);
        return OK;
      case XS_MKDIR:
        tree.mkdir(path, domid);
        return OK;
      case XS_RM:
        tree.rm(path, domid);
        return OK;
      case XS_DIRECTORY:
        return encodeStrings(...tree.children(path, domid).names);
      case XS_DIRECTORY_PART:
        return this.#directoryPart(tree, path, Number(decodeStrings(rest)[0]));
      case XS_GET_PERMS:
        return encodeStrings(...tree.permissions(path, domid).map(formatPermission));
      case XS_SET_PERMS:
        tree.setPermissions(path, decodeStrings(rest).map(permissionOrInvalid), domid);
        return OK;
      default:
        return fail('ENOSYS');
    }
  }

  #directoryPart(tree: FakeTree, path: string, offset: number): Uint8Array {
    if (!this.#server.directoryPart) fail('ENOSYS');
    const { names, generation } = tree.children(path, this.#domid);
    const head = String(generation);
    const all = encodeStrings(...names);
    if (offset >= all.length) return encodeStrings(head, '');
    const room = XENSTORE_PAYLOAD_MAX - head.length - 2;
    let end = Math.min(all.length, offset + room);
    // Whole names only.
    while (all[end - 1] !== 0) end--;
    const part = all.subarray(offset, end);
    const reply = encodeStringAndBytes(head, part);
    return end === all.length ? Buffer.concat([reply, Buffer.alloc(1)]) : reply;
  }

  #watch(type: number, payload: Uint8Array): Uint8Array {
    const [given, token, extra] = decodeStrings(payload);
    if (given === undefined || token === undefined || extra !== undefined) return fail('EINVAL');
    const at = this.#watches.findIndex((entry) => entry.given === given && entry.token === token);
    if (type === XS_UNWATCH) {
      if (at < 0) fail('ENOENT');
      this.#watches.splice(at, 1);
      return OK;
    }
    if (at >= 0) fail('EEXIST');
    this.#watches.push({ given, path: this.#absolute(given, true), token });
    return OK;
  }

  #startTransaction(): Uint8Array {
    const id = this.#nextTransaction++;
    const { nodes, generation } = this.#server.tree;
    this.#transactions.set(id, {
      tree: new FakeTree(nodes, generation),
      base: generation,
      wrote: false,
    });
    return encodeStrings(String(id));
  }

  #endTransaction(id: number, commit: boolean): Uint8Array {
    const transaction = this.#transactions.get(id) ?? fail('ENOENT');
    this.#transactions.delete(id);
    if (commit && transaction.wrote) {
      if (this.#server.tree.generation !== transaction.base) fail('EAGAIN');
      this.#server.adopt(transaction.tree);
    }
    return OK;
  }
}

function permissionOrInvalid(text: string): ReturnType<typeof parsePermission> {
  try {
    return parsePermission(text);
  } catch {
    return fail('EINVAL');
  }
}
