import { DaemonProgram } from '@node-vmm/vhost-user-backend/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QemuGuest, type QemuKind, qemuStatus } from '../../src/box/index.ts';

// What a device author begins with, unchanged, behind QEMU's own front-end and Linux's own driver.
const QEMUS: readonly QemuKind[] = ['installed', 'newest'];
const cases = QEMUS.map((qemu) => {
  const { ready, state, reason } = qemuStatus(qemu);
  const suffix = ready ? '' : ` (skipped, ${state}: ${reason})`;
  return { qemu, ready, title: `the vhost-user-rng-pci of the ${qemu} QEMU${suffix}` };
});
const main = new URL('../../../packages/vhost-device-template/dist/main.js', import.meta.url);

for (const { qemu, ready, title } of cases) {
  describe.skipIf(!ready)(`vhost-device-template behind ${title}`, () => {
    let daemon: DaemonProgram;
    let guest: QemuGuest;

    beforeAll(async () => {
      daemon = await DaemonProgram.start({ main });
      guest = await QemuGuest.boot({
        name: `qemu-template-${qemu}`,
        qemu,
        vhostUser: [{ kind: 'rng', socket: daemon.socketPath() }],
      });
    });

    afterAll(async () => {
      await guest?.stop();
      expect(await daemon?.stop()).toEqual({ code: 0, signal: null });
    });

    it("is the guest's random number generator", async () => {
      expect(await guest.sh('cat /sys/class/misc/hw_random/rng_current')).toMatch(/^virtio_rng/);
    });

    it('fills what the guest reads with bytes that do not compress', async () => {
      // The size is the guest's to say: a short read would be a lost request.
      const sizes = await guest.sh(
        'head -c 65536 /dev/hwrng > /tmp/r && wc -c < /tmp/r && gzip -c /tmp/r | wc -c',
        { timeoutMs: 60_000 },
      );
      const [read, compressed] = sizes.trim().split(/\s+/).map(Number);
      expect(read).toBe(65_536);
      expect(compressed).toBeGreaterThan(65_536);
    });

    it('says what it served', async () => {
      daemon.kill('SIGUSR1');
      await expect.poll(() => daemon.stderr, { timeout: 20_000 }).toContain('"status"');
      const line = daemon.stderr.split('\n').find((text) => text.includes('"status"')) ?? '';
      const [device] = JSON.parse(line).status.devices;
      expect(device).toMatchObject({ name: 'template0', state: 'connected', connections: 2 });
      expect(device.rings[0]).toMatchObject({ malformedChains: 0, broken: 0 });
      expect(device.rings[0].chains).toBeGreaterThan(100);
    });
  });
}
