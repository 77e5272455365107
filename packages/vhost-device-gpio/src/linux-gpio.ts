import { randomUUID } from 'node:crypto';
import { type DeviceContext, deviceModule } from '@node-vmm/vhost-user-backend';
import type { UsableChip } from './linux/chips.ts';
import { LinuxGpioHost } from './linux/linux-gpio-host.ts';
import type { LinuxChipOptions } from './linux-chip.ts';

/**
 * Opens a chip of the kernel for a device: in a thread of its own, since an expander on a slow bus may
 * keep every call waiting. The device is ready when the thread has the chip.
 *
 * @param chip - from `findChip`
 * @param places - where device files are, default `/dev`; and the URL of the thread's module,
 * `@node-vmm/vhost-device-gpio/host`, where it is not the package's own
 * @throws {SysError} when there are no descriptors left
 */
export function openLinuxGpioHost(
  { number, label, names }: UsableChip,
  context: Pick<DeviceContext, 'hostThread' | 'logger' | 'poller'>,
  { dev = '/dev', hostModule }: { dev?: string; hostModule?: string | undefined } = {},
): LinuxGpioHost {
  const name = `gpiochip${number}`;
  const path = `${dev}/${name}`;
  const options: LinuxChipOptions = { path, label, lines: names.length };
  const module = new URL(hostModule ?? deviceModule('./linux-chip.js', import.meta.url));
  // Lines are one device's: the kernel refuses them to another, in this process, too.
  const thread = context.hostThread({ key: `${path} ${randomUUID()}`, module, options });
  return new LinuxGpioHost(name, names, thread, context);
}
