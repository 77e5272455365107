import type { Logger } from '@node-vmm/vmm-sys-util';
import type { OpenControl } from './control/open.ts';
import type { StatusPlace } from './status/open-status-socket.ts';

/**
 * Answers `status`, and nothing else, on a program's control socket from now on, of mode 0600: see
 * `showStatus` of `@node-vmm/vhost-device-cli/status`.
 *
 * @param status - plain data
 * @returns undefined where there is no place for one, or none can be: that is a warning
 * @throws {CliError} USAGE, BAD_DIRECTORY, CONTROL_SOCKET where the user asked for it and it cannot be
 */
export async function openStatusSocket(
  place: StatusPlace,
  status: () => object,
  logger: Logger,
): Promise<OpenControl | undefined> {
  // Here and not above: who has no control socket loads none.
  return (await import('./status/open-status-socket.ts')).openStatusSocket(place, status, logger);
}
