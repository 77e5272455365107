import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { asFd, EPOLLOUT, Epoll, errorCode, SockCtrlMsg } from '@node-vmm/vmm-sys-util';

/** Where bytes go that nobody may wait for. */
export interface Output {
  /**
   * Writes what can be written now.
   *
   * @returns bytes taken, 0 when there is no room
   * @throws Node's own error, or {SysError}: EPIPE, ENOSPC, EIO ...
   */
  write(data: Uint8Array): number;
  close(): void;
}

/** So much fits in a pipe that says that it has room (PIPE_BUF, linux/limits.h). */
const PIPE_BUF = 4096;

const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;

/**
 * A descriptor that came from outside, for writing without ever waiting. Its flags stay as they are:
 * O_NONBLOCK belongs to the open file description, which a shell or a supervisor may share.
 *
 * @param fd - stays the caller's
 */
export function openOutput(fd: number): Output {
  // In bigint: realpathSync of Node 20 takes the type in the last other result for that of a directory
  // on its way; after a pipe's or a socket's it leaves symbolic links in the path of the next import.
  const stat = fstatSync(fd, { bigint: true });
  if (stat.isSocket()) return socketOutput(fd);
  if (stat.isFIFO() || isatty(fd)) return reopen(fd) ?? polledOutput(fd);
  // Files have room or an error; a full disk does not make anybody wait.
  return { write: (data) => writeSync(fd, data), close: () => undefined };
}

/** A socket is told with each message that nobody waits. */
function socketOutput(fd: number): Output {
  const socket = new SockCtrlMsg(asFd(fd), 0);
  return { write: (data) => Math.max(socket.send(data), 0), close: () => undefined };
}

/**
 * A pipe or a terminal under a description of its own, which is ours to make non-blocking.
 *
 * @returns undefined when it cannot be opened: another user's, or a pipe that nobody reads
 */
function reopen(fd: number): Output | undefined {
  let own: number;
  try {
    own = openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    return undefined;
  }
  return { write: (data) => tryWrite(own, data), close: () => closeSync(own) };
}

/** Asks for room first. Several writers who see the same room might wait for one another. */
function polledOutput(fd: number): Output {
  const epoll = new Epoll(1);
  epoll.add(asFd(fd), EPOLLOUT, 0);
  return {
    write: (data) => (epoll.wait(0) === 0 ? 0 : tryWrite(fd, data.subarray(0, PIPE_BUF))),
    close: () => epoll.close(),
  };
}

function tryWrite(fd: number, data: Uint8Array): number {
  try {
    return writeSync(fd, data);
  } catch (error) {
    if (errorCode(error) === 'EAGAIN') return 0;
    throw error;
  }
}
