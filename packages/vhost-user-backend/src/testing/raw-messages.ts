import { setTimeout as sleep } from 'node:timers/promises';
import { VHOST_USER_HEADER, VHOST_USER_NEED_REPLY, VHOST_USER_VERSION } from '@node-vmm/vhost-user';
import type { Fd } from '@node-vmm/vmm-sys-util';
import type { FrontEnd } from './front-end.ts';

/** A message as bytes, for what the tables of the protocol would not send. */
export interface RawMessage {
  readonly request: number;
  readonly payload?: Uint8Array;
  readonly fds?: readonly Fd[];
  /** Ask for an acknowledgement. */
  readonly needReply?: boolean;
}

/** A message with its header. */
export function rawMessage({ request, payload, needReply }: RawMessage): Uint8Array {
  const bytes = new Uint8Array(VHOST_USER_HEADER.SIZE + (payload?.length ?? 0));
  VHOST_USER_HEADER.write(new DataView(bytes.buffer), 0, {
    request,
    flags: VHOST_USER_VERSION | (needReply === true ? VHOST_USER_NEED_REPLY : 0),
    size: payload?.length ?? 0,
  });
  if (payload !== undefined) bytes.set(payload, VHOST_USER_HEADER.SIZE);
  return bytes;
}

/**
 * Sends bytes past the connection's tables.
 *
 * @returns false when the connection has ended
 */
export function sendRaw({ stream }: FrontEnd, bytes: Uint8Array, fds: readonly Fd[] = []): boolean {
  try {
    stream.send(bytes, fds);
    return true;
  } catch {
    return false;
  }
}

/**
 * Sends a message that is answered, or ends the connection. The connection must not be waiting for
 * anything else.
 *
 * @returns payload of the answer; undefined when the connection has ended
 */
export async function exchangeRaw(
  frontEnd: FrontEnd,
  message: RawMessage,
): Promise<Uint8Array | undefined> {
  if (!frontEnd.connection.live) return undefined;
  frontEnd.connection.pause();
  try {
    if (!sendRaw(frontEnd, rawMessage(message), message.fds)) return undefined;
    const header = await receive(frontEnd, VHOST_USER_HEADER.SIZE);
    if (header === undefined) return undefined;
    const { size } = VHOST_USER_HEADER.read(new DataView(header.buffer), 0);
    return await receive(frontEnd, size);
  } finally {
    frontEnd.connection.resume();
  }
}

async function receive({ stream }: FrontEnd, length: number): Promise<Uint8Array | undefined> {
  const bytes = new Uint8Array(length);
  for (let filled = 0; filled < length; ) {
    try {
      const received = stream.receive(bytes.subarray(filled));
      if (received === undefined) await sleep(1);
      else if (received.bytes === 0) return undefined;
      else filled += received.bytes;
    } catch {
      return undefined;
    }
  }
  return bytes;
}
