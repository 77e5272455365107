import { VhostUserError } from './errors.ts';
import {
  VHOST_USER_HEADER,
  VHOST_USER_KNOWN_FLAGS,
  VHOST_USER_MAX_FDS,
  VHOST_USER_MAX_PAYLOAD,
  VHOST_USER_NEED_REPLY,
  VHOST_USER_REPLY,
  VHOST_USER_VERSION,
  VHOST_USER_VERSION_MASK,
} from './header.ts';
import type { FdRule, MessageName, MessageSpec, MessageTable } from './message-table.ts';
import type { Decoded, ReplyPayload, RequestPayload } from './message-types.ts';
import { type PayloadCodec, viewOfBytes } from './payload-codec.ts';
import type { CodecOptions, PayloadKind } from './payload-values.ts';
import { PAYLOADS } from './payloads.ts';

/** A header that has been checked against its table. */
export interface MessageHeader<T extends MessageTable> {
  readonly known: true;
  readonly name: MessageName<T>;
  readonly spec: MessageSpec;
  readonly reply: boolean;
  readonly needReply: boolean;
  /** Payload bytes that follow. */
  readonly size: number;
}

/** The header of a request that no table knows, whose sender waits for an answer. */
export interface UnknownHeader {
  readonly known: false;
  /** Its number. */
  readonly request: number;
  /** Payload bytes that follow. */
  readonly size: number;
}

/** Layouts that a reply to `spec` may have. */
function replyKinds(spec: MessageSpec): readonly PayloadKind[] {
  if (spec.reply !== undefined) return spec.reply.payload;
  return spec.postcopyReply === undefined ? ['u64'] : ['u64', spec.postcopyReply];
}

function fits(kind: PayloadKind, size: number): boolean {
  const [min, max] = PAYLOADS[kind].size();
  return size >= min && size <= max;
}

function describeSizes(kinds: readonly PayloadKind[]): string {
  return kinds
    .map((kind) => {
      const [min, max] = PAYLOADS[kind].size();
      return min === max ? `${min}` : `${min}..${max}`;
    })
    .join(' or ');
}

/** Descriptors that a message with this payload carries. */
function fdRange(rule: FdRule, kind: PayloadKind, payload: unknown): readonly [number, number] {
  switch (rule) {
    case 'none':
      return [0, 0];
    case 'one':
      return [1, 1];
    case 'optional':
      return [0, 1];
    case 'perRegion': {
      const count = (payload as readonly unknown[]).length;
      return [count, count];
    }
    case 'byPayload': {
      const count = fdsByPayload(kind, payload);
      return [count, count];
    }
  }
}

function fdsByPayload(kind: PayloadKind, payload: unknown): number {
  // An address of the dirty log comes alone, an area in shared memory with its descriptor.
  if (kind === 'log') return typeof payload === 'bigint' ? 0 : 1;
  // SET_DEVICE_STATE_FD: an error in bits 0..7, or the invalid-descriptor flag.
  if (typeof payload === 'bigint') return (payload & 0x1ffn) === 0n ? 1 : 0;
  return (payload as { readonly hasFd: boolean }).hasFd ? 1 : 0;
}

/**
 * Encodes and decodes the messages of one channel: everything follows from its table. Both ways the
 * syntax is checked: version, flags, payload size, fields that have reserved values, descriptors.
 * What depends on the state of the device (a vring index beyond its queues) is the caller's.
 */
export class MessageCodec<T extends MessageTable> {
  readonly table: T;
  /** Set `xenMmap` once XEN_MMAP has been negotiated. */
  readonly options: CodecOptions = { xenMmap: false };
  readonly #names: ReadonlyMap<number, MessageName<T>>;

  constructor(table: T) {
    this.table = table;
    this.#names = new Map(Object.entries(table).map(([name, spec]) => [spec.id, name]));
  }

  /**
   * Checks a header.
   *
   * @param bytes - at least the 12 bytes of the header
   * @returns an unknown header only when the sender says that it waits for an answer
   * @throws {VhostUserError} UNSUPPORTED_VERSION, RESERVED_FLAGS, UNKNOWN_REQUEST, INVALID_SIZE
   */
  decodeHeader(bytes: Uint8Array): MessageHeader<T> | UnknownHeader {
    const { request, flags, size } = VHOST_USER_HEADER.decode(bytes);
    const name = this.#names.get(request);
    const message = name ?? `request ${request}`;
    const version = flags & VHOST_USER_VERSION_MASK;
    if (version !== VHOST_USER_VERSION) {
      throw new VhostUserError(
        'UNSUPPORTED_VERSION',
        `Cannot read ${message}: vhost-user version ${version}, not ${VHOST_USER_VERSION}`,
        { message, expected: `${VHOST_USER_VERSION}`, actual: `${version}` },
      );
    }
    if ((flags & ~VHOST_USER_KNOWN_FLAGS) !== 0) {
      throw new VhostUserError(
        'RESERVED_FLAGS',
        `Cannot read ${message}: reserved header flags are set (0x${(flags >>> 0).toString(16)})`,
        { message, actual: `0x${(flags >>> 0).toString(16)}` },
      );
    }
    const reply = (flags & VHOST_USER_REPLY) !== 0;
    const needReply = (flags & VHOST_USER_NEED_REPLY) !== 0;
    if (name === undefined) {
      if (reply || !needReply || size > VHOST_USER_MAX_PAYLOAD) throw unknownRequest(request);
      return { known: false, request, size };
    }
    const spec = this.#spec(name);
    const kinds = reply ? replyKinds(spec) : [spec.payload];
    if (size > VHOST_USER_MAX_PAYLOAD || !kinds.some((kind) => fits(kind, size))) {
      throw this.#wrongSize(name, kinds, size);
    }
    return { known: true, name, spec, reply, needReply, size };
  }

  /** Whether descriptors may come with the message at all. */
  mayCarryFds({ spec, reply }: MessageHeader<T>): boolean {
    return this.#fdRule(spec, reply) !== 'none';
  }

  /**
   * Decodes a payload.
   *
   * @param payload - exactly `header.size` bytes; the result does not refer to them
   * @param fdCount - descriptors that came with the message
   * @throws {VhostUserError} INVALID_SIZE, INVALID_PAYLOAD, INVALID_FDS
   */
  decode(header: MessageHeader<T>, payload: Uint8Array, fdCount: number): Decoded<T> {
    const { name, spec, reply, needReply } = header;
    const kinds = reply ? replyKinds(spec) : [spec.payload];
    const kind = kinds.find((candidate) => fits(candidate, payload.length));
    if (kind === undefined) throw this.#wrongSize(name, kinds, payload.length);
    const codec = PAYLOADS[kind] as PayloadCodec<unknown>;
    const value = codec.decode(payload);
    if (typeof value === 'string') {
      throw new VhostUserError(
        'INVALID_SIZE',
        `Cannot read ${name}: payload of ${payload.length} bytes, ${value}`,
        { message: name, actual: `${payload.length}` },
      );
    }
    this.#check('read', name, codec.check?.(value));
    this.#checkFds('read', name, this.#fdRule(spec, reply), kind, value, fdCount);
    return { name, spec, reply, needReply, payload: value } as Decoded<T>;
  }

  /**
   * Encodes a request.
   *
   * @param needReply - ask for an acknowledgement; only when REPLY_ACK has been negotiated
   * @throws {VhostUserError} INVALID_PAYLOAD, INVALID_FDS
   */
  encodeRequest<N extends MessageName<T>>(
    name: N,
    payload: RequestPayload<T, N>,
    fdCount = 0,
    needReply = false,
  ): Uint8Array {
    const spec = this.#spec(name);
    const flags = VHOST_USER_VERSION | (needReply ? VHOST_USER_NEED_REPLY : 0);
    return this.#encode(name, spec.payload, payload, flags, spec.fds, fdCount);
  }

  /**
   * Encodes a reply; a `bigint` is an acknowledgement where the request has no reply of its own.
   *
   * @throws {VhostUserError} INVALID_PAYLOAD, INVALID_FDS
   */
  encodeReply<N extends MessageName<T>>(
    name: N,
    payload: ReplyPayload<T, N>,
    fdCount = 0,
  ): Uint8Array {
    const spec = this.#spec(name);
    const kinds = replyKinds(spec);
    const kind = kinds.find((candidate) => isOfKind(candidate, payload)) ?? kinds[0] ?? 'none';
    const flags = VHOST_USER_VERSION | VHOST_USER_REPLY;
    return this.#encode(name, kind, payload, flags, this.#fdRule(spec, true), fdCount);
  }

  /**
   * Encodes the acknowledgement of a request that has no name here.
   *
   * @param request - its number
   * @param result - 0 for success
   */
  encodeUnknownReply(request: number, result: bigint): Uint8Array {
    const body = PAYLOADS.u64.encode(result, this.options);
    return frame(request, VHOST_USER_VERSION | VHOST_USER_REPLY, body);
  }

  #encode(
    name: MessageName<T>,
    kind: PayloadKind,
    payload: unknown,
    flags: number,
    rule: FdRule,
    fdCount: number,
  ): Uint8Array {
    const codec = PAYLOADS[kind] as PayloadCodec<unknown>;
    this.#check('send', name, codec.check?.(payload) ?? codec.checkSent?.(payload, this.options));
    this.#checkFds('send', name, rule, kind, payload, fdCount);
    const body = codec.encode(payload, this.options);
    return frame(this.#spec(name).id, flags, body);
  }

  #spec(name: MessageName<T>): MessageSpec {
    const spec = this.table[name];
    if (spec === undefined) throw new TypeError(`"name" expected a request, got ${name}`);
    return spec;
  }

  #fdRule(spec: MessageSpec, reply: boolean): FdRule {
    return reply ? (spec.reply?.fds ?? 'none') : spec.fds;
  }

  #check(action: string, name: string, text: string | undefined): void {
    if (text === undefined) return;
    throw new VhostUserError('INVALID_PAYLOAD', `Cannot ${action} ${name}: ${text}`, {
      message: name,
    });
  }

  #checkFds(
    action: string,
    name: string,
    rule: FdRule,
    kind: PayloadKind,
    value: unknown,
    count: number,
  ): void {
    const [min, max] = fdRange(rule, kind, value);
    if (count >= min && count <= max && count <= VHOST_USER_MAX_FDS) return;
    const expected = min === max ? `${min}` : `${min}..${max}`;
    throw new VhostUserError(
      'INVALID_FDS',
      `Cannot ${action} ${name}: ${count} file descriptors, expected ${expected}`,
      { message: name, expected, actual: `${count}` },
    );
  }

  #wrongSize(name: string, kinds: readonly PayloadKind[], size: number): VhostUserError {
    const expected = describeSizes(kinds);
    return new VhostUserError(
      'INVALID_SIZE',
      `Cannot read ${name}: payload of ${size} bytes, expected ${expected}`,
      { message: name, expected, actual: `${size}` },
    );
  }
}

/** A request that no table of this channel knows. */
export function unknownRequest(request: number): VhostUserError {
  const message = `request ${request}`;
  return new VhostUserError('UNKNOWN_REQUEST', `Cannot read ${message}: no such request`, {
    message,
  });
}

function frame(request: number, flags: number, body: Uint8Array): Uint8Array {
  const out = new Uint8Array(VHOST_USER_HEADER.SIZE + body.length);
  VHOST_USER_HEADER.write(viewOfBytes(out), 0, { request, flags, size: body.length });
  out.set(body, VHOST_USER_HEADER.SIZE);
  return out;
}

/** Tells the layouts apart that one reply may have. */
function isOfKind(kind: PayloadKind, value: unknown): boolean {
  switch (kind) {
    case 'none':
      return value === undefined;
    case 'u64':
    case 'features':
    case 'protocolFeatures':
      return typeof value === 'bigint';
    default:
      return typeof value === 'object';
  }
}
