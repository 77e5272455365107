import { dirname, resolve } from 'node:path';
import type { ServedDevice } from '@node-vmm/vhost-user-backend';
import { type Logger, UNIX_PATH_MAX } from '@node-vmm/vmm-sys-util';
import { checkDirectory, checkNoDirectory } from '../directories.ts';
import { CliError } from '../errors.ts';
import { socketProblem } from '../sockets.ts';
import { ControlCommands, type StatusReport } from './commands.ts';
import { ControlSocket } from './socket.ts';

/** A control socket that waits for its devices. */
export interface OpenControl extends Disposable {
  serve(devices: readonly ServedDevice[], status: StatusReport): void;
}

/**
 * Opens the daemon's control socket.
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
    serve: (devices, status) => socket.serve(new ControlCommands(devices, status), logger),
    [Symbol.dispose]: () => socket.close(),
  };
}
