import type { QemuGuest } from '../../src/box/index.ts';

/**
 * Unbinds every virtio device of a guest from its driver and binds it again, some times each.
 *
 * @returns the drivers
 */
export async function rebindDrivers(guest: QemuGuest, times: number): Promise<string[]> {
  const script = `
    for device in /sys/bus/virtio/devices/*; do
      driver=$(readlink -f "$device/driver"); i=0
      while [ $i -lt ${times} ]; do
        echo "\${device##*/}" > "$driver/unbind" || exit 1
        [ ! -e "$device/driver" ] || exit 2
        echo "\${device##*/}" > "$driver/bind" || exit 3
        [ -e "$device/driver" ] || exit 4
        i=$((i+1))
      done
      echo "\${driver##*/}"
    done`;
  return (await guest.sh(script, { timeoutMs: 120_000 })).trim().split('\n');
}
