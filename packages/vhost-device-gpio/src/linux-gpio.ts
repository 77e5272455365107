import { randomUUID } from 'node:crypto';
import { type DeviceContext, deviceModule } from '@node-vmm/vhost-user-backend';
import type { UsableChip } from './linux/chips.ts';
import type { ChipIdentity } from './linux/gpio-lines.ts';
import { LinuxGpioHost } from './linux/linux-gpio-host.ts';

/**
 * Opens a chip of the kernel for a device: in a thread of its own, since an expander on a slow bus may
 * keep every call waiting. The device is ready when the thread has the chip.
 *
 * @param chip - from `findChip`
 * @throws {SysError} when there are no descriptors left
 */
export function openLinuxGpioHost(
  { number, label, names }: UsableChip,
  context: Pick<DeviceContext, 'hostThread' | 'logger' | 'poller'>,
  dev = '/dev',
): LinuxGpioHost {
  const name = `gpiochip${number}`;
  const path = `${dev}/${name}`;
  const options: ChipIdentity = { path, label, lines: names.length };
  const module = deviceModule('./linux-chip.js', import.meta.url);
  // Lines are one device's: the kernel refuses them to another, in this process, too.
  const thread = context.hostThread({ key: `${path} ${randomUUID()}`, module, options });
  return new LinuxGpioHost(name, names, thread, context);
}
