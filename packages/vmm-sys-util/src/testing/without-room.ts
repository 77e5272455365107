import { closeSync } from 'node:fs';
import { EMFILE } from '../errno.ts';
import { SysError } from '../errors.ts';
import type { UnixStream } from '../unix-socket.ts';

/**
 * Makes a stream receive as in a process that may have no more descriptors.
 *
 * @param lacks - asked for each message that brings some, default always
 * @returns the stream
 */
export function withoutRoom(stream: UnixStream, lacks: () => boolean = () => true): UnixStream {
  const receive = stream.receive.bind(stream);
  stream.receive = (target) => {
    const received = receive(target);
    if (received === undefined || received.fds.length === 0 || !lacks()) return received;
    for (const fd of received.fds) closeSync(fd);
    const shortage = new SysError({ syscall: 'recvmsg(SCM_RIGHTS)', errno: EMFILE });
    return { bytes: received.bytes, fds: [], truncated: false, shortage };
  };
  return stream;
}
