import { dirname, resolve } from 'node:path';
import { type Logger, UNIX_PATH_MAX } from '@node-vmm/vmm-sys-util';
import { checkDirectory, checkNoDirectory } from '../directories.ts';
import { CliError } from '../errors.ts';
import { socketProblem } from '../sockets.ts';
import type { Controlled } from './controlled.ts';
import { ControlSocket } from './socket.ts';

/** A control socket that waits for what it drives. */
export interface OpenControl extends Disposable {
  /** Answers from now on. */
  serve(controlled: Controlled): void;
}

/**
 * Opens a program's control socket, of mode 0600. A stale socket file is replaced. Who connects waits until
 * `serve`.
 *
 * @param path - 1 to 107 bytes
 *
 * @throws {CliError} USAGE, BAD_DIRECTORY, CONTROL_SOCKET
 */
export function openControl(path: string, logger: Logger): OpenControl {
  if (Buffer.byteLength(path) > UNIX_PATH_MAX) {
    const text = `Cannot use control socket path "${path}": it must have 1 to ${UNIX_PATH_MAX} bytes`;
    throw new CliError('USAGE', text);
  }
  checkDirectory(dirname(resolve(path)), 'create the control socket in', '--control-socket');
  checkNoDirectory(path, '--control-socket');
  let socket: ControlSocket;
  try {
    socket = ControlSocket.bind(path);
  } catch (cause) {
    const text = socketProblem(cause, path, '--control-socket');
    throw new CliError('CONTROL_SOCKET', text, { path }, { cause });
  }
  return {
    serve: (controlled) => socket.serve(controlled, logger),
    [Symbol.dispose]: () => socket.close(),
  };
}
