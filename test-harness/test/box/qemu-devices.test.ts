import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlClient } from '@node-vmm/vhost-device-cli/control';
import { DaemonProgram } from '@node-vmm/vhost-user-backend/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QemuGuest } from '../../src/box/index.ts';
import { entropyCases } from './cases/entropy.ts';
import { GPIO_LINES, gpioCases, gpioFeatures, gpioInterruptCases } from './cases/gpio.ts';
import { i2cCases } from './cases/i2c.ts';
import { thermometerCases } from './cases/thermometer.ts';
import { QEMUS } from './qemus.ts';
import { SCALE } from './scale.ts';
import { VhostUserRelay } from './vhost-user-relay.ts';
import { rebindDrivers } from './virtio-drivers.ts';

// All daemons behind QEMU's own front-ends and Linux's own drivers, at once, in one guest. The template,
// what a device author begins with, is an entropy device beside the daemon for entropy.
const main = (name: string): URL =>
  new URL(`../../../packages/vhost-device-${name}/dist/main.js`, import.meta.url);
const BOARD = ['--simulate=ds1338@0x68,24c02@0x50,tmp105@0x48'];

for (const { qemu, ready, title } of QEMUS) {
  // Only of 7.2 a back-end may leave a machine that listens: see qemu-limits.test.ts.
  const listens = qemu === 'installed';

  describe.skipIf(!ready)(`the devices behind ${title}`, () => {
    const daemons: Record<string, DaemonProgram> = {};
    const relays: Record<string, VhostUserRelay> = {};
    let guest: QemuGuest;
    let control: ControlClient;
    let chips: ControlClient;
    // Chips and lines keep in it what a daemon that returns goes on with.
    const directory = mkdtempSync(join(tmpdir(), 'qemu-devices-'));
    const controlSocket = join(directory, 'gpio.control');
    const chipsSocket = join(directory, 'i2c.control');
    const ARGS: Record<string, readonly string[]> = {
      i2c: [...BOARD, '--control-socket', chipsSocket, '--state-dir', directory],
      gpio: [...GPIO_LINES, '--control-socket', controlSocket, '--state-dir', directory],
    };

    const start = async (name: string): Promise<string> => {
      const args = ARGS[name] ?? [];
      const started = await DaemonProgram.start({ main: main(name), args });
      daemons[name] = started;
      return started.socketPath();
    };
    const daemon = (name: string): DaemonProgram => {
      const found = daemons[name];
      if (found === undefined) throw new Error(`Cannot use ${name}: it is not started`);
      return found;
    };
    /** The socket that QEMU is to use: its own, where it listens. */
    const socketFor = (name: string, socket: string): { socket: string; listens: boolean } => {
      if (!listens) return { socket, listens };
      const relay = new VhostUserRelay(socket);
      relays[name] = relay;
      const own = `${socket}-qemu`;
      void relay.connect(own);
      return { socket: own, listens };
    };

    beforeAll(async () => {
      const i2c = await start('i2c');
      const rng = await start('rng');
      const template = await start('template');
      const gpio = await start('gpio');
      control = await ControlClient.connect(controlSocket);
      chips = await ControlClient.connect(chipsSocket);
      guest = await QemuGuest.boot({
        name: `qemu-devices-${qemu}`,
        qemu,
        cpus: 2,
        timeoutMs: 120_000,
        vhostUser: [
          { kind: 'i2c', ...socketFor('i2c', i2c) },
          { kind: 'rng', ...socketFor('rng', rng) },
          { kind: 'rng', socket: template },
          { kind: 'gpio', ...socketFor('gpio', gpio) },
        ],
      });
    });

    afterAll(async () => {
      await guest?.stop();
      control?.close();
      chips?.close();
      for (const relay of Object.values(relays)) relay[Symbol.dispose]();
      for (const started of Object.values(daemons)) {
        expect(await started.stop()).toEqual({ code: 0, signal: null });
      }
      rmSync(directory, { recursive: true });
    });

    // Programs start slower in the newest.
    describe('i2c', () => {
      i2cCases(() => guest, qemu === 'installed' ? 1000 : 200);
      thermometerCases(
        () => guest,
        () => chips,
      );
    });

    describe.each([
      ['rng', 0],
      ['template', 1],
    ])('entropy of %s', (name, index) =>
      entropyCases(
        () => guest,
        () => daemon(name),
        name,
        index,
      ),
    );

    describe('gpio', () => {
      gpioCases(
        () => guest,
        () => control,
      );
      it(`has ${listens ? 'no ' : ''}interrupts`, async () => {
        // The front-end of 7.2 knows no bit of the device's type, and drops it.
        expect((await gpioFeatures(guest))[0]).toBe(listens ? '0' : '1');
      });
    });

    describe.skipIf(listens)(
      `interrupts of gpio${listens ? ' (skipped, unavailable: QEMU 7.2 drops their feature bit)' : ''}`,
      () =>
        gpioInterruptCases(
          () => guest,
          () => control,
          SCALE.edges,
        ),
    );

    /** That every device still serves. */
    const expectServed = async (): Promise<void> => {
      expect(await guest.sh('i2cget -y 0 0x50 0x10')).toBe('0xa5\n');
      expect(await guest.sh('head -c 64 /dev/hwrng | wc -c')).toBe('64\n');
      await control.command(['line', 'button', '1']);
      expect(await guest.sh('gpioget --numeric button')).toBe('1\n');
      await control.command(['line', 'button', '0']);
      expect(await guest.sh('gpioget --numeric button')).toBe('0\n');
    };

    it('serves on after their drivers were unbound and bound 20 times', async () => {
      expect(await rebindDrivers(guest, 20)).toHaveLength(Object.keys(daemons).length);
      await expectServed();
    });

    it('serves a guest that has rebooted in the middle of its requests', async () => {
      await guest.sh(
        '(while :; do head -c 4096 /dev/hwrng; i2cget -y 0 0x50 0x10; gpioget button; done) >/dev/null 2>&1 &',
      );
      await guest.sh('sleep 1');
      await guest.reboot(120_000);
      expect(await guest.sh('cut -d. -f1 /proc/uptime')).toMatch(/^\d{1,2}\n$/);
      await expectServed();
    });

    const returns = `returns${listens ? '' : ' (skipped, unavailable: QEMU 8.2 and later abort)'}`;
    const replace = async (name: string): Promise<VhostUserRelay> => {
      await guest.sh('i2cset -y 0 0x50 0x10 0xa5; i2cget -y 0 0x50 0x10');
      const { exit } = daemon(name);
      const own = `${daemon(name).socketPath()}-qemu`;
      daemon(name).kill('SIGKILL');
      await exit;
      const relay = relays[name] as VhostUserRelay;
      await relay.connect(own, await start(name));
      return relay;
    };

    it.skipIf(!listens).each(['i2c', 'rng'])(
      `is served on when the back-end of %s ${returns}`,
      async (name) => {
        const { requests } = await replace(name);
        await expectServed();
        // QEMU takes it for the one that it negotiated with.
        expect(requests).toContain('VHOST_USER_SET_FEATURES');
        for (const request of ['GET_FEATURES', 'SET_OWNER', 'SET_PROTOCOL_FEATURES']) {
          expect(requests).not.toContain(`VHOST_USER_${request}`);
        }
      },
    );

    it.skipIf(!listens)(`is served on when the back-end of gpio ${returns}`, async () => {
      await control.command(['line', 'button', '0']);
      control.close();
      await replace('gpio');
      control = await ControlClient.connect(controlSocket);
      await expectServed();
    });
  });
}
