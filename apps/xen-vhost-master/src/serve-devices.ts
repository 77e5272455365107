import type { Bridge, DeviceSource } from '@node-vmm/vhost-bridge';
import {
  EXIT_FAILURE,
  EXIT_OK,
  openServiceManager,
  type Program,
} from '@node-vmm/vhost-device-cli';
import type { Logger } from '@node-vmm/vmm-sys-util';

/** A bridge, and who brings its devices. */
export interface Serving {
  readonly bridge: Bridge;
  readonly source: DeviceSource;
  /** Ends when nothing more can be announced. */
  readonly gone: Promise<Error | undefined>;
}

/** For people who ask the service manager. */
function summary(bridge: Bridge): string {
  return `${bridge.devices.length} devices, ${bridge.guests.length} guests`;
}

/**
 * Serves devices until a signal asks for the end or nothing more can be announced, and tells the service
 * manager of it. The caller closes everything.
 *
 * @returns the exit code
 */
export async function serveDevices(
  { bridge, source, gone }: Serving,
  program: Program,
  logger: Logger,
): Promise<number> {
  const manager = await openServiceManager(logger);
  try {
    await source.start(bridge);
    let told = summary(bridge);
    manager.ready(told);
    // Everything here runs on this thread: whoever is asked at all is well.
    manager.watch(async () => {
      const now = summary(bridge);
      if (now !== told) manager.status(now);
      told = now;
      return true;
    });
    const reason = await Promise.race([program.signals.ended, gone]);
    manager.stopping();
    if (typeof reason === 'string') {
      logger.info({ signal: reason }, 'ending');
      return EXIT_OK;
    }
    program.complain(
      `${reason?.message ?? 'the xenstore is closed'}; start again when xenstored is back`,
    );
    return EXIT_FAILURE;
  } finally {
    manager.close();
  }
}
