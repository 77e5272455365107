// A guest that is saved and restored, against the advice of the README: its device is another one then.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { type Bed, HVMLOADER_UP_MS, XenBox } from '../../src/box/index.ts';
import { Dom0Programs } from './dom0-programs.ts';
import { expectNoResidue, repeat } from './i2c-box.ts';
import { onEveryBed } from './on-every-bed.ts';
import { notInCi } from './scale.ts';

const PATIENT = { timeoutMs: 240_000 };

function whyNot(bed: Bed): string {
  if (bed.architecture === 'arm64')
    return ' (skipped, unavailable: Xen does not save guests of this architecture)';
  return notInCi(bed);
}

onEveryBed(
  'a guest that is saved and restored',
  ['hvmloader'],
  (bed) => {
    let box: XenBox;
    const programs = new Dom0Programs(() => box);

    beforeAll(async () => {
      // The toolstack saves no guest of this kind that has no device model.
      box = await XenBox.boot({ bed: bed.name, name: 'xen-restore', deviceModel: true });
    });

    afterEach(async () => await programs.clear());

    afterAll(async () => {
      await box?.stop();
    });

    it(
      'finds its device again, which its driver sets up anew',
      async () => {
        const daemon = programs.start(
          'daemon',
          'vhost-device-i2c -s /root/i2c.sock -c 1 --simulate=24c02@0x50',
        );
        await daemon.waitFor(/device ready/, 240_000);
        const options = '--hold 120 -s /root';
        const bridge = await programs.startBridge(bed, { saved: ['i2c'] }, options);
        const guest = await box.createDomain({
          name: 'saved',
          devices: ['i2c'],
          firmware: 'hvmloader',
        });
        await guest.waitUp(HVMLOADER_UP_MS);
        await guest.sh('i2cset -y 0 0x50 1 0x42');
        expect(await guest.sh('echo before >/tmp/mark; i2cget -y 0 0x50 1')).toBe('0x42\n');
        const before = await guest.id();

        await box.sh('xl save saved /tmp/saved.img', PATIENT);
        expect((await box.sh('xl list')).trim().split('\n')).toHaveLength(2);
        await bridge.waitFor(/guest detached/);
        await box.sh('xl restore /tmp/saved.img', PATIENT);
        expect(await guest.id()).not.toBe(before);
        expect(await guest.sh('cat /tmp/mark', PATIENT)).toBe('before\n');
        expect(await guest.sh('i2cget -y 0 0x50 1', PATIENT)).toBe('0x42\n');
        expect(await repeat(guest, 50, 'i2cget -y 0 0x50 1 | grep -q 0x42')).toBe(0);
        await guest.destroy();
        await box.sh('rm /tmp/saved.img');
        await expectNoResidue(box);
      },
      HVMLOADER_UP_MS + 600_000,
    );
  },
  whyNot,
);
