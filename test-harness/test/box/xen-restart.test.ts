import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import {
  bootI2cBox,
  type Dom0Process,
  type I2cBox,
  type XenBox,
  type XenDomain,
} from '../../src/box/index.ts';
import { Dom0Programs } from './dom0-programs.ts';
import { expectNoResidue, repeat } from './i2c-box.ts';
import { onEveryBed } from './on-every-bed.ts';
import { notInCi, SCALE } from './scale.ts';

/** Runs until it is told to stop, and counts; `lost` are transfers that failed or were answered with something else. */
const LOAD =
  '(n=0; lost=0; while [ ! -e /tmp/stop ]; do i2cget -y 0 0x50 CELL | grep -q VALUE || lost=$((lost+1)); ' +
  'n=$((n+1)); echo $n >/tmp/count; sleep 0.1; done; echo "lost $lost" >/tmp/result) >/dev/null 2>&1 &';

onEveryBed(
  'a bridge that is started again under its guests',
  ['guest-devices'],
  (bed) => {
    const names = ['kept-1', 'kept-2'] as const;
    let i2c: I2cBox;
    let box: XenBox;
    const programs = new Dom0Programs(() => box);

    const startBridge = (): Promise<Dom0Process> => {
      const table = Object.fromEntries(names.map((name) => [name, ['i2c' as const]]));
      return programs.startBridge(bed, table, '--hold 120 -s /run/vhost');
    };
    const stopped = async (bridge: Dom0Process): Promise<void> => {
      expect(await bridge.stop(60_000)).toBe(0);
      programs.forget(bridge);
    };
    const count = async (guest: XenDomain): Promise<number> =>
      Number(await guest.sh('cat /tmp/count', { timeoutMs: 240_000 }));

    beforeAll(async () => {
      i2c = await bootI2cBox('xen-restart', { bed: bed.name });
      ({ box } = i2c);
    });

    afterEach(async () => await programs.clear());

    afterAll(async () => {
      await i2c?.stop();
    });

    it(
      `loses no transfer of two guests in ${SCALE.restarts} restarts, and none after one is gone`,
      async () => {
        const daemon = programs.start(
          'daemon',
          `vhost-device-i2c -s /run/vhost/i2c.sock -c 2 ${i2c.chips('0x50')}`,
        );
        // Beside a bridge that maps two guests a busy machine loads it too slowly for its watchdog.
        await daemon.waitFor(/device ready[\s\S]*device ready/, 240_000);
        let bridge = await startBridge();
        const guests: XenDomain[] = [];
        for (const name of names) guests.push(await box.createDomain({ name, devices: ['i2c'] }));
        for (const [index, guest] of guests.entries()) {
          await guest.sh(`i2cset -y 0 0x50 ${index + 1} 0x4${index}`);
          await guest.sh(LOAD.replace('CELL', `${index + 1}`).replace('VALUE', `0x4${index}`));
        }
        const domids = await box.sh("xl list | awk '/kept-/ { print $2 }'");
        for (let restart = 0; restart < SCALE.restarts; restart++) {
          await stopped(bridge);
          expect((await box.sh('ls /run/xen-vhost-master')).trim().split('\n')).toEqual(
            domids
              .trim()
              .split('\n')
              .map((domid) => `${domid}.json`)
              .sort(),
          );
          bridge = await startBridge();
          // The transfers that came meanwhile are answered, and others after them.
          for (const guest of guests) {
            const before = await count(guest);
            await expect
              .poll(() => count(guest), { timeout: 240_000, interval: 1000 })
              .toBeGreaterThan(before + 1);
          }
          expect(bridge.output.match(/device taken up/g)).toHaveLength(names.length);
          expect(bridge.output).not.toMatch(/must reset|cannot be used|given up/);
        }
        for (const guest of guests) {
          await guest.sh('touch /tmp/stop; while [ ! -e /tmp/result ]; do sleep 0.1; done', {
            timeoutMs: 240_000,
          });
          expect(await guest.sh('cat /tmp/result')).toBe('lost 0\n');
          expect(
            await guest.sh('dmesg | grep -ci "virtio.*\\(fail\\|error\\|reset\\)" || true'),
          ).toBe('0\n');
        }

        // One that is gone when the bridge comes back is forgotten, the other is served on.
        await stopped(bridge);
        await guests[1]?.destroy();
        bridge = await startBridge();
        await bridge.waitFor(/a guest that was kept is gone/);
        const [first] = guests;
        if (first === undefined) throw new Error('no guest');
        expect(await repeat(first, 20, 'i2cget -y 0 0x50 1 | grep -q 0x40')).toBe(0);
        await first.destroy();
        await expectNoResidue(box);
      },
      240_000 + SCALE.restarts * 60_000,
    );
  },
  notInCi,
);
