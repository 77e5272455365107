// What a guest's devices cost in dom0's memory, and what becomes of that memory when the guest gives some back or
// goes away.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import {
  bootI2cBox,
  type DeviceType,
  type Dom0Process,
  type I2cBox,
  type XenBox,
  type XenDomain,
} from '../../src/box/index.ts';
import { Dom0Programs } from './dom0-programs.ts';
import { expectNoResidue, foreignKib, pidOf } from './i2c-box.ts';
import { onEveryBed } from './on-every-bed.ts';
import { LATER, notHere, SCALE, soak } from './scale.ts';

const MIB = 1024;
/** Most of a domain that a daemon of ours has mapped, beside rings, KiB; and what else there may be of those. */
const MAPPED_KIB = 16 * MIB;
const RINGS_KIB = 2 * MIB;
/** As many as a table of devices of `xl` names here; more than dom0 could map a guest for. */
const MANY = 11;
/** Each small part that a guest gives back is let go of before the next, at the speed of an emulated dom0. */
const BALLOONING = { timeout: 60_000 + SCALE.balloonMib * 6_000, interval: 1000 };
const PATIENT = { timeoutMs: 240_000 };
/** What Linux says of itself when something in it went wrong. */
const TROUBLE = 'Oops|BUG:|Unable to handle|Internal error|Call trace|hung task|blocked for more';

const DAEMON = 'vhost-device-i2c -s /run/vhost/i2c.sock -c COUNT --simulate=24c02@0x50';

/** When devices came up, of the lines of a bridge: milliseconds of its clock. */
function upTimes(output: string): number[] {
  const lines = output.split('\n').filter((line) => line.includes('"msg":"device up"'));
  return lines.map((line) => Number(/"time":(\d+)/.exec(line)?.[1]));
}

const i2cs = (count: number): DeviceType[] => new Array<DeviceType>(count).fill('i2c');

onEveryBed(
  "a guest's memory in dom0",
  ['guest-devices'],
  (bed) => {
    let i2c: I2cBox;
    let box: XenBox;
    let bridge: Dom0Process;
    const programs = new Dom0Programs(() => box);

    const serve = async (
      guests: Readonly<Record<string, readonly DeviceType[]>>,
    ): Promise<Dom0Process> => {
      const count = Object.values(guests).flat().length;
      const daemon = programs.start('daemon', DAEMON.replace('COUNT', `${count}`));
      await expect
        .poll(() => daemon.output.split('device ready').length - 1, { timeout: 240_000 })
        .toBe(count);
      bridge = await programs.startBridge(bed, guests, '--hold 120 --release -s /run/vhost');
      return daemon;
    };
    /** What dom0 could still use, KiB. */
    const available = async (): Promise<number> =>
      Number(await box.sh("awk '/MemAvailable/ { print $2 }' /proc/meminfo"));
    /** Memory that no domain has, MiB. */
    const free = async (): Promise<number> =>
      Number(await box.sh("xl info | awk '/^free_memory/ { print $3 }'"));
    /** Foreign memory that a program of ours has mapped, KiB. */
    const mapped = async (args: string): Promise<number> =>
      await foreignKib(box, await pidOf(box, args));
    const daemonMaps = (): Promise<number> => mapped('24c02@0x50');
    const bridgeMaps = (): Promise<number> => mapped('-s /run/vhost');
    /** Every device of a guest keeps a byte of its own. */
    const useAll = async (guest: XenDomain, count: number, value: number): Promise<void> => {
      const script = `for bus in $(seq 0 ${count - 1}); do
        i2cset -y $bus 0x50 $bus $((${value} + bus)) || exit 1
        [ $(i2cget -y $bus 0x50 $bus) = $(printf 0x%02x $((${value} + bus))) ] || exit 2
      done`;
      await guest.sh(script, PATIENT);
    };
    const load = (guest: XenDomain, count: number): Promise<string> =>
      guest.sh(
        `for bus in $(seq 0 ${count - 1}); do (while :; do i2cget -y $bus 0x50 $bus; done) >/dev/null 2>&1 & done; true`,
      );
    /** As `xl mem-set`, which fails an assertion of its own on some of these guests. */
    const setMemory = async (guest: XenDomain, mib: number): Promise<string> =>
      box.sh(`xenstore-write /local/domain/${await guest.id()}/memory/target ${mib * MIB}`);
    const noTrouble = async (): Promise<void> => {
      expect((await box.exec(`dmesg | grep -E '${TROUBLE}'`)).stdout).toBe('');
    };

    beforeAll(async () => {
      // One processor that nothing takes from whom it runs: where dom0 hung when a guest was destroyed.
      i2c = await bootI2cBox('xen-memory', {
        bed: bed.name,
        preempt: 'none',
        dom0Vcpus: 1,
        memory: 4096,
      });
      ({ box } = i2c);
    });

    afterEach(async () => await programs.clear());

    afterAll(async () => {
      await i2c?.stop();
    });

    it(`of ${MANY} devices in one daemon is mapped once, and only what is used`, async () => {
      const counts = soak ? [MANY - 1, MANY] : [MANY];
      await serve(Object.fromEntries(counts.map((count) => [`with-${count}`, i2cs(count)])));
      for (const count of counts) {
        const before = await available();
        const name = `with-${count}`;
        const guest = await box.createDomain({ name, memory: 512, devices: i2cs(count) });
        await useAll(guest, count, 0x20);
        const [first = 0, ...others] = upTimes(bridge.output).slice(-count);
        console.log(
          `[${bed.name}] ${count} devices of 512 MiB: daemon maps ${await daemonMaps()} KiB, bridge ${await bridgeMaps()} KiB, dom0 has ${before - (await available())} KiB less; up after the first, ms: ${others.map((time) => time - first).join(' ')}`,
        );
        expect(others).toHaveLength(count - 1);
        expect(await daemonMaps()).toBeLessThan(MAPPED_KIB + MANY * RINGS_KIB);
        expect(await bridgeMaps()).toBeLessThan(MANY * RINGS_KIB);
        // One guest of that size would not have had room for its own memory.
        expect(before - (await available())).toBeLessThan(128 * MIB);
        await guest.destroy();
        await expectNoResidue(box);
        expect(await daemonMaps()).toBe(0);
      }
    });

    it.skipIf(!soak)(
      `of three guests with four devices each, and of one of 1 GiB, is no more than that${soak ? '' : LATER}`,
      async () => {
        const names = ['three-1', 'three-2', 'three-3'];
        await serve(Object.fromEntries([...names, 'large'].map((name) => [name, i2cs(4)])));
        const guests: XenDomain[] = [];
        for (const name of names) guests.push(await box.createDomain({ name, devices: i2cs(4) }));
        for (const [index, guest] of guests.entries()) await useAll(guest, 4, 0x30 + 16 * index);
        for (const guest of guests) await guest.destroy();
        await expectNoResidue(box);

        const before = await available();
        const large = await box.createDomain({ name: 'large', memory: 1024, devices: i2cs(4) });
        await useAll(large, 4, 0x60);
        const taken = before - (await available());
        console.log(`[${bed.name}] 4 devices of 1 GiB: dom0 has ${taken} KiB less`);
        expect(taken).toBeLessThan(128 * MIB);
        await large.destroy();
        await expectNoResidue(box);
        expect(await daemonMaps()).toBe(0);
        expect(before - (await available())).toBeLessThan(64 * MIB);
      },
    );

    it(
      `is let go when a guest with six devices under load is destroyed (${SCALE.destroys} times), or ends by itself`,
      async () => {
        await serve({ gone: i2cs(6) });
        for (let round = 0; round < SCALE.destroys; round++) {
          const guest = await box.createDomain({ name: 'gone', devices: i2cs(6) });
          await useAll(guest, 6, 0x20);
          await load(guest, 6);
          await box.sh(`sleep 1.${round % 10}`);
          await guest.destroy();
          await expectNoResidue(box);
        }
        const guest = await box.createDomain({ name: 'gone', devices: i2cs(6) });
        await useAll(guest, 6, 0x20);
        await guest.exec('(sleep 1; poweroff -f) >/dev/null 2>&1 &');
        await expectNoResidue(box);
        await guest.destroy().catch(() => undefined);
        await noTrouble();
      },
      240_000 + SCALE.destroys * 30_000,
    );

    it('of a daemon that is stopped keeps the guest from going, but neither xl nor dom0', async () => {
      const daemon = await serve({ held: i2cs(2) });
      const guest = await box.createDomain({ name: 'held', devices: i2cs(2) });
      await useAll(guest, 2, 0x20);
      await load(guest, 2);
      const pid = await pidOf(box, '24c02@0x50');
      await box.sh(`kill -STOP ${pid}`);
      const began = Date.now();
      await guest.destroy();
      console.log(`[${bed.name}] xl destroy with a stopped daemon: ${Date.now() - began} ms`);
      expect(await box.sh('echo alive')).toBe('alive\n');
      await box.sh(`kill -CONT ${pid}`);
      await expectNoResidue(box);
      expect(daemon.output).not.toContain('"level":60');
      await noTrouble();
    });

    it(
      `goes back to Xen when the guest gives ${SCALE.balloonMib} MiB back, ${SCALE.balloons} times`,
      async () => {
        await serve({ balloon: i2cs(2) });
        const before = await free();
        const guest = await box.createDomain({
          name: 'balloon',
          memory: 512,
          devices: i2cs(2),
          extraConfig: ['maxmem = 512'],
        });
        await useAll(guest, 2, 0x20);
        const full = await free();
        for (let round = 0; round < SCALE.balloons; round++) {
          await setMemory(guest, 512 - SCALE.balloonMib);
          await expect.poll(free, BALLOONING).toBeGreaterThan(full + SCALE.balloonMib - 3);
          const small = await free();
          await useAll(guest, 2, 0x30 + round);
          if (round === 0) {
            // Its memory is mapped anew while a part of it is not there.
            await box.sh(`kill -9 ${await pidOf(box, '24c02@0x50')}`);
            programs.start('daemon-2', DAEMON.replace('COUNT', '2'));
            await useAll(guest, 2, 0x40);
          }
          await setMemory(guest, 512);
          await expect.poll(free, BALLOONING).toBeLessThan(full + 3);
          console.log(
            `[${bed.name}] free memory, MiB: before ${before}, with the guest ${full}, small ${small}, again ${await free()}`,
          );
          await useAll(guest, 2, 0x50 + round);
        }
        await guest.destroy();
        await expectNoResidue(box);
        expect(await free()).toBeGreaterThan(before - 16);
        await noTrouble();
      },
      300_000 + SCALE.balloons * 2 * BALLOONING.timeout,
    );
  },
  notHere,
);
