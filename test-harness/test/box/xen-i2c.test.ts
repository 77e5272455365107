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
import { gpioSim } from './gpio-sim.ts';
import { bindClock, readClock } from './guest-clock.ts';
import { busNumber, expectNoResidue, openFds, pidOf, repeat } from './i2c-box.ts';
import { onEveryBed } from './on-every-bed.ts';
import { notHere, notInCi, notThisSeries, SCALE } from './scale.ts';

onEveryBed('an I2C device of dom0 in a guest', ['guest-devices'], (bed) => {
  const later = notHere(bed);
  const newest = notThisSeries(bed);
  // Of what takes long and the bed has little part in: xen-memory.test.ts and unit tests have the like.
  const seldom = notInCi(bed);
  let i2c: I2cBox;
  let box: XenBox;
  const programs = new Dom0Programs(() => box);
  let stub: number;

  const guest = (name: string) => box.createDomain({ name, devices: ['i2c'] });
  /** Starts a bridge that will serve an I2C device of each of these guests, and waits for it. */
  const bridgeFor = async (
    guests: readonly string[] | Readonly<Record<string, readonly DeviceType[]>>,
    options = '-s /run/vhost',
    // A daemon takes 20 s to start where a processor is emulated by a busy one.
    hold = '--hold 120',
  ): Promise<Dom0Process> => {
    const table = Array.isArray(guests)
      ? Object.fromEntries(guests.map((name) => [name, ['i2c' as const]]))
      : (guests as Readonly<Record<string, readonly DeviceType[]>>);
    return await programs.startBridge(bed, table, `${hold} ${options}`);
  };

  beforeAll(async () => {
    i2c = await bootI2cBox('xen-i2c', { bed: bed.name });
    ({ box } = i2c);
    if (i2c.fullBus) expect(await busNumber(box, 'i2c_virtio')).toBe(0);
    stub = await busNumber(box, 'SMBus stub');
  });

  afterEach(async () => await programs.clear());

  afterAll(async () => {
    await i2c?.stop();
  });

  it(`is set up word for word as in the original project (${bed.announcement})`, async () => {
    programs.start(
      'vhost-device-i2c',
      `vhost-device-i2c -s /root/vi2c.sock -c 1 ${i2c.chips('32')}`,
    );
    await bridgeFor(['clock'], '--socket-path /root/vi2c.sock0 --name i2c', '');
    const clock = await guest('clock');
    const rtc = await bindClock(clock, '0x20');
    const time = await readClock(clock, rtc);
    expect(Math.abs(Date.now() - time)).toBeLessThan(120_000);
  });

  /** The stub speaks SMBus only: byte, word and I2C block transfers. */
  const useStub = async (domain: XenDomain): Promise<void> => {
    await domain.sh('i2cset -y 0 0x30 0x11 0x5a');
    expect(await domain.sh('i2cget -y 0 0x30 0x11')).toBe('0x5a\n');
    await domain.sh('i2cset -y 0 0x30 0x12 0xbeef w');
    expect(await domain.sh('i2cget -y 0 0x30 0x12 w')).toBe('0xbeef\n');
    await domain.sh('i2cset -y 0 0x30 0x40 1 2 3 4 5 6 7 i');
    expect(await domain.sh('i2ctransfer -y 0 w1@0x30 0x40 r7')).toBe(
      '0x01 0x02 0x03 0x04 0x05 0x06 0x07\n',
    );
  };

  // On x86 interrupts always pass through the bridge, and with a PV dom0 notifications as well.
  const modes: Readonly<Record<string, string>> = bed.features.includes('kernel-notification')
    ? { kernel: '"kernelAssisted":true', user: '"kernelAssisted":false' }
    : { auto: '"notificationsAssisted":false,"interruptsAssisted":false' };
  it.skipIf(newest !== '').each(Object.entries(modes))(
    `serves every kind of transfer with %s notification${newest}`,
    async (mode, logged) => {
      const stubToo = i2c.fullBus ? `,${stub}:0x30` : '';
      programs.start(
        'daemon',
        `vhost-device-i2c -s /run/vhost/i2c.sock -c 1 ${i2c.chips('0x50')}${stubToo}`,
      );
      const options = `-s /run/vhost --notification ${mode}`;
      const bridge = await bridgeFor([`i2c-${mode}`], options);
      const domain = await guest(`i2c-${mode}`);
      const detected = await domain.sh('i2cdetect -y -r 0');
      expect(detected.match(/\b(30|50)\b(?!:)/g)).toEqual(i2c.fullBus ? ['30', '50'] : ['50']);
      expect(detected).not.toMatch(/ 20\b(?!:)/);

      await domain.sh('i2cset -y 0 0x50 0x10 0xa5');
      expect(await domain.sh('i2cget -y 0 0x50 0x10')).toBe('0xa5\n');
      await domain.sh('i2ctransfer -y 0 w8@0x50 0x20 1 2 3 4 5 6 7');
      expect(await domain.sh('i2ctransfer -y 0 w1@0x50 0x20 r7')).toBe(
        '0x01 0x02 0x03 0x04 0x05 0x06 0x07\n',
      );
      if (i2c.fullBus) await useStub(domain);

      const denied = await domain.exec('i2cget -y 0 0x20 0');
      expect(denied.code).not.toBe(0);
      expect(denied.stderr).toMatch(/failed/i);
      // The allow-list holds for every message of a transfer.
      const mixed = await domain.exec('i2ctransfer -y 0 w1@0x50 0 r1@0x20');
      expect(`${mixed.stdout}${mixed.stderr}`).toMatch(/only 1\/2 messages|[Ff]ailed/);

      expect(await repeat(domain, SCALE.transfers, 'i2cget -y 0 0x50 0x10 | grep -q 0xa5')).toBe(0);
      expect(bridge.output).toContain(logged);
    },
  );

  it.skipIf(newest !== '')(`serves two guests at once${newest}`, async () => {
    programs.start('daemon', `vhost-device-i2c -s /run/vhost/i2c.sock -c 2 ${i2c.chips('0x50')}`);
    await bridgeFor(['first', 'second']);
    const guests = [await guest('first'), await guest('second')];
    const cells = ['0x01', '0x02'];
    await Promise.all(guests.map((domain, i) => domain.sh(`i2cset -y 0 0x50 ${cells[i]} 0x4${i}`)));
    const failures = await Promise.all(
      guests.map((domain, i) =>
        repeat(domain, SCALE.sharedTransfers, `i2cget -y 0 0x50 ${cells[i]} | grep -q 0x4${i}`),
      ),
    );
    expect(failures).toEqual([0, 0]);
    // One guest's end does not disturb the other.
    await guests[0]?.destroy();
    expect(await guests[1]?.sh('i2cget -y 0 0x50 0x02')).toBe('0x41\n');
  });

  it.skipIf(later !== '')(
    `serves an I2C adapter, lines of a GPIO chip and entropy to one guest${later}`,
    async () => {
      const sim = await gpioSim(box, ['button', 'led']);
      const devices = ['i2c', 'gpio', 'rng'] as const;
      // One after the other: an emulated processor starts one program in the time of one.
      await bridgeFor({ trio: devices });
      for (const [name, options] of [
        ['i2c', i2c.chips('0x50')],
        ['gpio', `-l ${sim.chip}`],
        ['rng', ''],
      ] as const) {
        const daemon = programs.start(
          name,
          `vhost-device-${name} -s /run/vhost/${name}.sock -c 1 ${options}`,
        );
        await daemon.waitFor(/device ready/);
      }
      const domain = await box.createDomain({ name: 'trio', devices });

      // One after the other, while the others are there.
      await domain.sh('i2cset -y 0 0x50 0x10 0xa5');
      expect(await domain.sh('gpiodetect')).toMatch(/ \(2 lines\)\n$/);
      await domain.sh('gpioset -z led=1');
      expect(await sim.value(1)).toBe(1);
      await domain.sh('killall gpioset');
      for (const level of [1, 0] as const) {
        await sim.pull(0, level);
        expect(await domain.sh('gpioget --numeric button')).toBe(`${level}\n`);
      }
      expect(await domain.sh('cat /sys/class/misc/hw_random/rng_current')).toMatch(/^virtio_rng/);

      // At once: the button is pressed while entropy and the EEPROM are read.
      await domain.sh(
        '(gpiomon --format %e -e both -n 4 button >/tmp/edges 2>&1; echo done >>/tmp/edges) & ' +
          '(head -c 65536 /dev/hwrng | wc -c >/tmp/bytes) & ' +
          '(for i in $(seq 20); do i2cget -y 0 0x50 0x10; done | uniq -c >/tmp/cells) &',
      );
      const armed =
        'for i in $(seq 100); do gpioinfo button | grep -q consumer && break; sleep 0.1; done';
      await domain.sh(armed);
      for (const level of [1, 0, 1, 0] as const) {
        await sim.pull(0, level);
        // Two edges that come before the guest has unmasked the line are one interrupt.
        await box.sh('sleep 1');
      }
      const results = 'cat /tmp/edges /tmp/bytes /tmp/cells';
      const finished = async (): Promise<string> => (await domain.exec(results)).stdout;
      await expect
        .poll(finished, { timeout: 60_000, interval: 1000 })
        .toMatch(/^1\n2\n1\n2\ndone\n65536\n\s+20 0xa5\n$/);

      await domain.destroy();
      await expectNoResidue(box);
      await programs.stop();
      // Nobody holds the chip's lines any more.
      await sim.remove();
    },
  );

  it.skipIf(later !== '')(`leaves nothing behind when guests come and go${later}`, async () => {
    programs.start('daemon', `vhost-device-i2c -s /run/vhost/i2c.sock -c 1 ${i2c.chips('0x50')}`);
    await bridgeFor(['round']);
    const counts: string[] = [];
    for (let round = 0; round < SCALE.rounds; round++) {
      const domain = await guest('round');
      await domain.sh('i2cget -y 0 0x50 0');
      await domain.destroy();
      await expectNoResidue(box);
      const fds = [await openFds(box, 'xen-vhost-master/dist/main.js .*-s /run/vhost')];
      fds.push(await openFds(box, `i2c.sock -c 1 ${i2c.chips('0x50')}`));
      counts.push(fds.join(' '));
    }
    // The first guest may leave what is opened once; the next five must not add to it.
    expect(new Set(counts.slice(1))).toEqual(new Set([counts[0]]));
  });

  it.skipIf(later !== '')(`gives a guest that reboots its device again${later}`, async () => {
    programs.start('daemon', `vhost-device-i2c -s /run/vhost/i2c.sock -c 1 ${i2c.chips('0x50')}`);
    await bridgeFor(['reboots']);
    const domain = await guest('reboots');
    await domain.sh('i2cset -y 0 0x50 5 0x77');
    await domain.reboot();
    expect(await domain.sh('i2cget -y 0 0x50 5')).toBe('0x77\n');
  });

  it.skipIf(later !== '')(`survives a back-end that is killed and comes back${later}`, async () => {
    const command = `vhost-device-i2c -s /run/vhost/i2c.sock -c 1 ${i2c.chips('0x50')}`;
    const daemon = programs.start('daemon', command);
    const bridge = await bridgeFor(['survivor']);
    const domain = await guest('survivor');
    await domain.sh('i2cset -y 0 0x50 9 0x21');
    daemon.signal('SIGKILL');
    await bridge.waitFor(/back-end lost/);
    // This one waits: its request is in the ring when the new daemon starts.
    const waiting = domain.sh('i2cget -y 0 0x50 9', { timeoutMs: 60_000 });
    programs.start('daemon-2', command);
    expect(await waiting).toBe('0x21\n');
    expect(await repeat(domain, 50, 'i2cget -y 0 0x50 9 | grep -q 0x21')).toBe(0);
    expect(bridge.exitCode).toBeUndefined();
  });

  it.skipIf(later !== '')(`starts and restarts a back-end of its own${later}`, async () => {
    const chips = i2c.chips('0x50');
    const spawn = `i2c=vhost-device-i2c ${chips}`;
    await bridgeFor(['spawned'], `--spawn "${spawn}"`);
    const domain = await guest('spawned');
    await domain.sh('i2cset -y 0 0x50 3 0x33');
    // We cannot know the name of its socket: it is the one with a device list.
    await box.sh(`kill -9 ${await pidOf(box, `${chips} --socket-path .*`)}`);
    expect(await domain.sh('i2cget -y 0 0x50 3', { timeoutMs: 60_000 })).toBe('0x33\n');
  });

  it.skipIf(seldom !== '')(
    `keeps serving others while a device has no back-end, and says so${seldom}`,
    async () => {
      programs.start('daemon', `vhost-device-i2c -s /run/vhost/i2c.sock -c 1 ${i2c.chips('0x50')}`);
      const bridge = await bridgeFor({ unserved: ['gpio'], served: ['i2c'] }, '-s /run/vhost', '');
      const unserved = await box.createDomain({ name: 'unserved', devices: ['gpio'] });
      await bridge.waitFor(/waiting for back-end/);
      const domain = await guest('served');
      expect((await domain.exec('i2cget -y 0 0x50 0')).code).toBe(0);
      // Its accesses are held for a while; then it finds no device and lives on.
      expect(await unserved.sh('ls /sys/bus/virtio/devices')).toBe('');
      expect(await domain.sh('i2cget -y 0 0x50 0')).toMatch(/^0x/);
    },
  );
});
