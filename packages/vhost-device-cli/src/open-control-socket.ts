import type { Logger } from '@node-vmm/vmm-sys-util';
import type { OpenControl } from './control/open.ts';

/**
 * Opens the control socket of a program that drives something else than vhost-user devices. The protocol is
 * that of a daemon's: a line of words is a request, a line of JSON its answer.
 *
 * @param path - of the socket: 1 to 107 bytes
 * @throws {CliError} USAGE, BAD_DIRECTORY, CONTROL_SOCKET
 */
export async function openControlSocket(path: string, logger: Logger): Promise<OpenControl> {
  // Here and not above: who has no control socket loads none.
  return (await import('./control/open.ts')).openControl(path, logger);
}
