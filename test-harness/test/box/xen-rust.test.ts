// A daemon of rust-vmm behind the bridge: it maps whole guests, and closes its socket before it unmaps.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import {
  type Bed,
  bootI2cBox,
  type Dom0Process,
  type I2cBox,
  vhostDeviceRngXenPath,
  type XenBox,
  type XenDomain,
} from '../../src/box/index.ts';
import { Dom0Programs } from './dom0-programs.ts';
import { expectNoResidue, foreignKib } from './i2c-box.ts';
import { onEveryBed } from './on-every-bed.ts';
import { notInCi } from './scale.ts';

const PROGRAM = vhostDeviceRngXenPath();
const MEMORY = 128;
const MIB = 1024;
const PATIENT = { timeoutMs: 240_000 };

const REBIND =
  'cd /sys/bus/virtio/drivers/virtio_rng; for d in virtio*; do echo $d >unbind; echo $d >bind; done';

function whyNot(bed: Bed): string {
  if (bed.architecture !== 'x86_64')
    return " (skipped, unavailable: Rust's library for it is no package of this machine)";
  if (PROGRAM === undefined)
    return ' (skipped, unavailable: vhost-device-rng for Xen is not built, there is no cargo or no source)';
  return notInCi(bed);
}

onEveryBed(
  "rust-vmm's vhost-device-rng behind the bridge",
  ['guest-devices'],
  (bed) => {
    const names = ['rust-1', 'rust-2'] as const;
    let i2c: I2cBox;
    let box: XenBox;
    const programs = new Dom0Programs(() => box);

    const startRust = (): Dom0Process =>
      programs.start('rust', 'rust-rng -s /run/vhost/rng.sock -c 2 -m 1000000000');
    const pid = async (): Promise<number> => Number(await box.sh('pidof rust-rng'));
    /** Foreign memory that it has mapped, KiB. */
    const mapped = async (): Promise<number> => await foreignKib(box, await pid());
    /** Reads from the device, and finds that it is not zeros. */
    const read = async (guest: XenDomain, bytes: number): Promise<void> => {
      const script = `dd if=/dev/hwrng of=/tmp/r bs=${bytes} count=1 2>/dev/null; wc -c </tmp/r; gzip -c /tmp/r | wc -c`;
      const [size, compressed] = (await guest.sh(script, PATIENT)).trim().split('\n').map(Number);
      expect(size).toBe(bytes);
      expect(compressed).toBeGreaterThan(bytes);
    };

    beforeAll(async () => {
      i2c = await bootI2cBox('xen-rust', {
        bed: bed.name,
        payload: { files: { 'usr/bin/rust-rng': PROGRAM as string } },
      });
      ({ box } = i2c);
    });

    afterEach(async () => await programs.clear());

    afterAll(async () => {
      await i2c?.stop();
    });

    it('serves two guests beside a daemon of ours, through a kill, and lets go of each', async () => {
      startRust();
      const ours = programs.start(
        'ours',
        'vhost-device-i2c -s /run/vhost/i2c.sock -c 2 --simulate=24c02@0x50',
      );
      await ours.waitFor(/device ready[\s\S]*device ready/, 240_000);
      const devices = ['i2c', 'rng'] as const;
      const table = Object.fromEntries(names.map((name) => [name, devices]));
      const bridge = await programs.startBridge(bed, table, '--hold 120 -s /run/vhost');
      const guests: XenDomain[] = [];
      for (const name of names) {
        guests.push(await box.createDomain({ name, memory: MEMORY, devices: [...devices] }));
      }
      for (const [index, guest] of guests.entries()) {
        await read(guest, 4096);
        await guest.sh(`i2cset -y 0 0x50 1 0x4${index}`);
      }
      const both = await mapped();
      console.log(`[${bed.name}] Rust's daemon maps ${both} KiB of two guests of ${MEMORY} MiB`);
      expect(both).toBeGreaterThan(2 * (MEMORY - 16) * MIB);

      await box.sh(`kill -9 ${await pid()}; rm -f /run/vhost/rng.sock0 /run/vhost/rng.sock1`);
      startRust();
      // Its framework begins with its used index at 0 (vhost-user-backend 0.10), which no guest can go on with: that
      // is seen, and said to the guest. Linux's driver does not listen and is bound anew.
      await bridge.waitFor(/impossible used index[\s\S]*impossible used index/, 60_000);
      for (const [index, guest] of guests.entries()) {
        await guest.sh(REBIND, PATIENT);
        await read(guest, 16_384);
        expect(await guest.sh('i2cget -y 0 0x50 1')).toBe(`0x4${index}\n`);
      }
      const [first, second] = guests as [XenDomain, XenDomain];
      await first.destroy();
      await expect.poll(mapped, { timeout: 30_000 }).toBeLessThan(0.6 * both);
      await read(second, 65_536);
      await second.destroy();
      await expectNoResidue(box);
      await expect.poll(mapped, { timeout: 30_000 }).toBe(0);
    });
  },
  whyNot,
);
