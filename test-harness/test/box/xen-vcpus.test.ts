// More than one vCPU: of guests, each of which has a slot of the ioreq page and an event channel of its own,
// and of dom0.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import {
  type Bed,
  bootI2cBox,
  type I2cBox,
  type XenBox,
  type XenDomain,
} from '../../src/box/index.ts';
import { Dom0Programs } from './dom0-programs.ts';
import { expectNoResidue } from './i2c-box.ts';
import { onEveryBed } from './on-every-bed.ts';
import { notHere, notInCi, SCALE } from './scale.ts';

const PATIENT = { timeoutMs: 600_000 };
/** What Linux says of itself when something in it went wrong. */
const TROUBLE = 'Oops|BUG:|Unable to handle|Internal error|Call trace|hung task|blocked for more';

/** All bridge and daemon of a guest with one I2C adapter. */
async function serve(i2c: I2cBox, bed: Bed, programs: Dom0Programs, name: string, mode: string) {
  const options = `-s /run/vhost/i2c.sock -c 1 ${i2c.chips('0x50')}`;
  const daemon = programs.start('daemon', `vhost-device-i2c ${options}`);
  await daemon.waitFor(/device ready/, 240_000);
  const how = `--hold 120 --notification ${mode} -s /run/vhost`;
  return await programs.startBridge(bed, { [name]: ['i2c'] }, how);
}

/** From each vCPU at once, `count` times: a byte of its own is written and read. @returns failures by vCPU */
async function driveFromEach(guest: XenDomain, vcpus: number, count: number): Promise<number[]> {
  const script = `for cpu in $(seq 0 ${vcpus - 1}); do
    taskset -c $cpu sh -c '
      lost=0; i=0
      while [ $i -lt ${count} ]; do
        value=$(printf 0x%02x $((i % 250 + $1)))
        i2cset -y 0 0x50 $((16 + $1)) $value && [ "$(i2cget -y 0 0x50 $((16 + $1)))" = $value ] || lost=$((lost+1))
        i=$((i+1))
      done
      echo "$1 $(cut -d" " -f39 /proc/self/stat) $lost" >/tmp/vcpu$1
    ' sh $cpu &
  done
  wait
  cat /tmp/vcpu*`;
  const lines = (await guest.sh(script, PATIENT)).trim().split('\n');
  const seen = lines.map((line) => line.split(' ').map(Number));
  // The 39th field is the processor on which it ran.
  expect(seen.map(([vcpu, on]) => [vcpu, on])).toEqual(
    Array.from({ length: vcpus }, (_, vcpu) => [vcpu, vcpu]),
  );
  return seen.map(([, , lost = Number.NaN]) => lost);
}

onEveryBed(
  'a guest of several vCPUs',
  ['guest-devices'],
  (bed) => {
    let i2c: I2cBox;
    let box: XenBox;
    const programs = new Dom0Programs(() => box);

    beforeAll(async () => {
      i2c = await bootI2cBox('xen-vcpus', { bed: bed.name });
      ({ box } = i2c);
    });
    afterEach(async () => await programs.clear());
    afterAll(async () => {
      await i2c?.stop();
    });

    const modes = bed.features.includes('kernel-notification')
      ? (['user', 'kernel'] as const)
      : (['user'] as const);
    const cases = modes.flatMap((mode) => [3, 4].map((vcpus) => ({ mode, vcpus })));
    it.each(cases)(
      'drives its device from each of $vcpus, with $mode notification',
      async ({ mode, vcpus }) => {
        const name = `smp-${mode}-${vcpus}`;
        const bridge = await serve(i2c, bed, programs, name, mode);
        const guest = await box.createDomain({ name, vcpus, devices: ['i2c'] });
        await guest.waitUp(240_000);
        expect(await guest.sh('nproc')).toBe(`${vcpus}\n`);
        const lost = await driveFromEach(guest, vcpus, SCALE.sharedTransfers);
        expect(lost).toEqual(new Array(vcpus).fill(0));
        // Interrupts came as well: nothing was only polled for, and nobody gave up.
        expect(await guest.sh(`dmesg | grep -cE '${TROUBLE}|timed out' || true`)).toBe('0\n');
        expect(bridge.exitCode).toBeUndefined();
        await guest.destroy();
        await expectNoResidue(box);
      },
      900_000,
    );
  },
  notHere,
);

onEveryBed(
  'a dom0 of two vCPUs',
  ['guest-devices'],
  (bed) => {
    let i2c: I2cBox;
    let box: XenBox;
    const programs = new Dom0Programs(() => box);

    beforeAll(async () => {
      i2c = await bootI2cBox('xen-dom0-vcpus', { bed: bed.name, dom0Vcpus: 2 });
      ({ box } = i2c);
    });
    afterEach(async () => await programs.clear());
    afterAll(async () => {
      await i2c?.stop();
    });

    it('serves a guest whose kicks come while both are busy', async () => {
      expect(await box.sh('nproc')).toBe('2\n');
      await serve(i2c, bed, programs, 'busy', 'auto');
      const guest = await box.createDomain({ name: 'busy', vcpus: 2, devices: ['i2c'] });
      await guest.waitUp(240_000);
      // Programs of ours move between the two, whatever they are doing.
      for (const cpu of [0, 1]) {
        programs.start(`load-${cpu}`, `taskset -c ${cpu} sh -c 'while :; do :; done'`);
      }
      expect(await driveFromEach(guest, 2, SCALE.sharedTransfers)).toEqual([0, 0]);
      await guest.destroy();
      await expectNoResidue(box);
      expect((await box.exec(`dmesg | grep -E '${TROUBLE}'`)).stdout).toBe('');
    }, 900_000);
  },
  notInCi,
);
