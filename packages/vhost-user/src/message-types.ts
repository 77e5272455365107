import type { MessageName, MessageSpec, MessageTable } from './message-table.ts';
import type { PayloadKind, PayloadValues } from './payload-values.ts';

/** Decoded payload of a request. */
export type RequestPayload<
  T extends MessageTable,
  N extends MessageName<T>,
> = PayloadValues[T[N]['payload']];

/** Decoded payload of a reply: its own, or 0 for success and anything else for failure. */
export type ReplyPayload<T extends MessageTable, N extends MessageName<T>> = T[N] extends {
  readonly reply: { readonly payload: readonly (infer K extends PayloadKind)[] };
}
  ? PayloadValues[K]
  : T[N] extends { readonly postcopyReply: infer K extends PayloadKind }
    ? PayloadValues[K] | bigint
    : bigint;

/** A decoded request; `name` tells which, and with it the payload's type. */
export type Request<T extends MessageTable> = {
  [N in MessageName<T>]: {
    readonly name: N;
    readonly spec: MessageSpec;
    readonly reply: false;
    /** The sender waits for an acknowledgement. */
    readonly needReply: boolean;
    readonly payload: RequestPayload<T, N>;
  };
}[MessageName<T>];

/** A decoded reply. */
export type Reply<T extends MessageTable> = {
  [N in MessageName<T>]: {
    readonly name: N;
    readonly spec: MessageSpec;
    readonly reply: true;
    readonly needReply: boolean;
    readonly payload: ReplyPayload<T, N>;
  };
}[MessageName<T>];

/** Any decoded message of a channel. */
export type Decoded<T extends MessageTable> = Request<T> | Reply<T>;
