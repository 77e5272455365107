import type { ServedDevice } from '@node-vmm/vhost-user-backend';
import type { Logger } from '@node-vmm/vmm-sys-util';
import { ControlCommands, type StatusReport } from './commands.ts';
import { openControl } from './open.ts';

/** A daemon's control socket that waits for its devices. */
export interface DaemonControl extends Disposable {
  serve(devices: readonly ServedDevice[], status: StatusReport): void;
}

/**
 * Opens the daemon's control socket.
 *
 * @throws {CliError} USAGE, BAD_DIRECTORY, CONTROL_SOCKET
 */
export function openDaemonControl(path: string, logger: Logger): DaemonControl {
  const control = openControl(path, logger);
  return {
    serve: (devices, status) => control.serve(new ControlCommands(devices, status)),
    [Symbol.dispose]: () => control[Symbol.dispose](),
  };
}
