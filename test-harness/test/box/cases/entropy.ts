import type { DaemonProgram } from '@node-vmm/vhost-user-backend/testing';
import { expect, it } from 'vitest';
import type { QemuGuest } from '../../../src/box/index.ts';

/**
 * An entropy device as Linux's driver sees it.
 *
 * @param daemon - serves it
 * @param name - of the daemon's type of device
 * @param index - of the device among those of its type
 */
export function entropyCases(
  guest: () => QemuGuest,
  daemon: () => DaemonProgram,
  name: string,
  index: number,
): void {
  it("is the guest's random number generator", async () => {
    await guest().sh(`echo virtio_rng.${index} > /sys/class/misc/hw_random/rng_current`);
    const current = await guest().sh('cat /sys/class/misc/hw_random/rng_current');
    expect(current.trim()).toBe(`virtio_rng.${index}`);
  });

  it.each([
    [1, 512],
    [64, 4096],
    [16, 65_536],
  ])('fills dd in %i blocks of %i bytes with what does not compress', async (count, size) => {
    // dd counts records: a short read is a partial one.
    const counted = await guest().sh(
      `dd if=/dev/hwrng of=/tmp/r bs=${size} count=${count} 2>&1 | grep 'records in'; ` +
        'wc -c < /tmp/r; gzip -c /tmp/r | wc -c',
      { timeoutMs: 120_000 },
    );
    const [, records, read, compressed] = /^(\S+) records in\n(\d+)\n(\d+)\n$/.exec(counted) ?? [];
    expect(records).toBe(`${count}+0`);
    expect(Number(read)).toBe(size * count);
    expect(Number(compressed)).toBeGreaterThan(size * count);
  });

  it('says what it served', async () => {
    daemon().kill('SIGUSR1');
    const status = (): string | undefined =>
      daemon()
        .stderr.split('\n')
        .find((text) => text.includes('"status"'));
    await expect.poll(status, { timeout: 20_000 }).toBeDefined();
    const [device] = JSON.parse(status() ?? '').status.devices;
    expect(device).toMatchObject({ name: `${name}0`, state: 'connected', connections: 2 });
    expect(device.rings[0]).toMatchObject({ malformedChains: 0, broken: 0 });
    expect(device.rings[0].chains).toBeGreaterThan(100);
  });
}
