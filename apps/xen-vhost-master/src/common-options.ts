// Options that the bridge and its `kvm` command have alike.
import { parseMetricsAddress } from '@node-vmm/vhost-device-cli/options';
import { type Command, Option } from 'commander';
import { LOG_LEVELS, NOTIFICATION_MODES } from './choices.ts';
import { DEFAULT_DISPATCH_THREADS, MOST_DISPATCH_THREADS } from './dispatch-threads.ts';
import { BridgeError } from './errors.ts';

/** For an option that may be given again. */
export function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}

/** How notifications travel. */
export function notificationOption(): Option {
  const text = "how the guest's notifications and interrupts travel\n(default: auto)";
  return new Option('--notification <mode>', text).choices(NOTIFICATION_MODES);
}

/** Who serves what guests read and write. */
export function dispatchThreadsOption(): Option {
  const range = `0 to ${MOST_DISPATCH_THREADS}, 0: the main thread`;
  const text = `threads that serve guests' register accesses,\n${range} (default: ${DEFAULT_DISPATCH_THREADS})`;
  return new Option('--dispatch-threads <number>', text);
}

/** How soon those threads get a processor. */
export function dispatchNiceOption(): Option {
  const text =
    'how much those threads give way to other programs,\n-20 to 19 (default: 2 less than the bridge itself)';
  return new Option('--dispatch-nice <number>', text);
}

/** Who asks what is going on, and what is told without being asked. @param usual - of the control socket */
export function addWatchingOptions(command: Command, usual: string | undefined): Command {
  const otherwise = usual === undefined ? '' : `\n(default: ${usual})`;
  return command
    .option('--control-socket <path>', `socket on which "xen-vhost-master status" asks${otherwise}`)
    .option(
      '--metrics <address>',
      'serve metrics to Prometheus: path of a socket, or\n[HOST:]PORT (host by default 127.0.0.1)',
    )
    .addOption(
      new Option('--log-level <level>', 'least severe log lines to write (default: info)').choices(
        LOG_LEVELS,
      ),
    );
}

/** @throws {BridgeError} USAGE @throws {CliError} USAGE */
export function checkWatchingOptions(options: {
  readonly controlSocket?: string;
  readonly metrics?: string;
}): void {
  if (options.controlSocket === '') {
    throw new BridgeError('USAGE', '--control-socket expects a path, got nothing');
  }
  if (options.metrics !== undefined) parseMetricsAddress(options.metrics);
}
