import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  type Bed,
  type Dom0Process,
  deviceModelStatus,
  HVMLOADER_UP_MS,
  XenBox,
  type XenDomain,
} from '../../src/box/index.ts';
import { Dom0Programs } from './dom0-programs.ts';
import { expectNoResidue, repeat } from './i2c-box.ts';
import { onEveryBed } from './on-every-bed.ts';
import { notThisSeries } from './scale.ts';

function whyNot(bed: Bed): string {
  const { ready, state, reason } = deviceModelStatus(bed);
  return ready ? notThisSeries(bed) : ` (skipped, ${state}: ${reason})`;
}

onEveryBed(
  'an I2C device beside the devices of QEMU',
  ['hvmloader'],
  (bed) => {
    let box: XenBox;
    let bridge: Dom0Process;
    let guest: XenDomain;

    beforeAll(async () => {
      box = await XenBox.boot({
        bed: bed.name,
        name: 'xen-hvmloader',
        deviceModel: true,
        // The firmware's messages.
        xenArgs: 'guest_loglvl=all',
      });
      const chips = '--simulate=ds1338@0x20,24c02@0x50';
      const programs = new Dom0Programs(() => box);
      programs.start('daemon', `vhost-device-i2c -s /root/vi2c.sock -c 1 ${chips}`);
      const options = '-s /root/vi2c.sock0 --name i2c';
      bridge = await programs.startBridge(bed, { hvm: ['i2c'] }, options);
      guest = await box.createDomain({ name: 'hvm', devices: ['i2c'], firmware: 'hvmloader' });
      await guest.waitUp(HVMLOADER_UP_MS);
    }, HVMLOADER_UP_MS + 300_000);

    afterAll(async () => {
      await box?.stop();
    });

    it('boots by hvmloader and SeaBIOS with QEMU as device model', async () => {
      expect(await box.sh('xl dmesg')).toMatch(/\(d1\) .*Loading SeaBIOS/);
      expect(await box.sh('ps')).toContain('/usr/libexec/xen-qemu-system-i386 ');
      // The guest sees the devices of both.
      const devices = await guest.sh('ls /sys/bus/pci/devices /sys/bus/virtio/devices');
      expect(devices).toContain('0000:00:01.0');
      expect(devices).toContain('virtio0');
    });

    it('is found with its chips and nothing else', async () => {
      const detected = await guest.sh('i2cdetect -y -r 0', { timeoutMs: 120_000 });
      expect(detected.match(/\b(20|50)\b(?!:)/g)).toEqual(['20', '50']);
      expect(detected.match(/ [0-9a-f]{2}(?= )/g)).toEqual([' 20', ' 50']);
    });

    it('writes and reads, and loses none of 50 transfers', async () => {
      await guest.sh('i2cset -y 0 0x50 0x10 0xa5');
      expect(await guest.sh('i2cget -y 0 0x50 0x10')).toBe('0xa5\n');
      expect(await repeat(guest, 50, 'i2cget -y 0 0x50 0x10 | grep -q 0xa5')).toBe(0);
    });

    it('interrupts by a level line, as hvmloader describes it', async () => {
      const interrupts = await guest.sh('cat /proc/interrupts');
      expect(interrupts).toMatch(/^ *5: +[1-9]\d* +IO-APIC +5-fasteoi +virtio0$/m);
    });

    it('ends with the guest and without residue', async () => {
      await guest.destroy();
      await expectNoResidue(box);
      expect(await box.sh('ps')).not.toContain('/usr/libexec/xen-qemu-system-i386 ');
      expect(bridge.exitCode).toBeUndefined();
    });
  },
  whyNot,
);
