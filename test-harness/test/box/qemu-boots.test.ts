import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BoxError, QemuGuest, qemuStatus } from '../../src/box/index.ts';

const { ready, state, reason } = qemuStatus();

describe.skipIf(!ready)(
  `a guest of plain QEMU${ready ? '' : ` (skipped, ${state}: ${reason})`}`,
  () => {
    let guest: QemuGuest;

    beforeAll(async () => {
      guest = await QemuGuest.boot({ name: 'qemu-boots' });
    });

    afterAll(async () => {
      await guest?.stop();
    });

    it('runs commands', async () => {
      expect(await guest.sh('uname -m')).toBe('x86_64\n');
      expect(await guest.exec('echo out; echo err >&2; exit 5')).toEqual({
        code: 5,
        stdout: 'out\n',
        stderr: 'err\n',
      });
    });

    it('has the drivers for virtio devices and a stub adapter', async () => {
      const drivers = await guest.sh('ls /sys/bus/virtio/drivers');
      expect(drivers.split('\n')).toEqual(expect.arrayContaining(['i2c_virtio', 'virtio_rng']));
      await guest.sh('modprobe i2c-stub chip_addr=0x20');
      await guest.sh('i2cset -y 0 0x20 0x01 0x5a');
      expect(await guest.sh('i2cget -y 0 0x20 0x01')).toBe('0x5a\n');
    });

    it('kills a command that takes too long and goes on', async () => {
      const error = await guest.exec('sleep 1000', { timeoutMs: 1000 }).catch((caught) => caught);
      expect(BoxError.is(error) && error.code).toBe('TIMEOUT');
      expect(await guest.sh('echo alive')).toBe('alive\n');
    });

    it('tells what QEMU said when it cannot start', async () => {
      const broken = QemuGuest.boot({ name: 'broken', qemuArgs: ['-device', 'no-such-device'] });
      await expect(broken).rejects.toThrow(/QEMU ended: exit code 1[\s\S]*no-such-device/);
    });
  },
);
