import { DaemonProgram } from '@node-vmm/vhost-user-backend/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QEMUS } from './qemus.ts';
import { QmpMachine } from './qmp.ts';
import { VhostUserRelay } from './vhost-user-relay.ts';

// What QEMU itself cannot do with these devices, or does not survive: docs/qemu.md says so because of
// these tests. No guest runs.
const KINDS: readonly (readonly [kind: string, args: readonly string[]])[] = [
  ['i2c', ['--simulate=ds1338@0x68']],
  ['rng', []],
  ['gpio', ['--device-list', 's4']],
];
const main = (kind: string): URL =>
  new URL(`../../../packages/vhost-device-${kind}/dist/main.js`, import.meta.url);

for (const { qemu, ready, title } of QEMUS) {
  describe.skipIf(!ready)(`limits of ${title}`, () => {
    describe.each(KINDS)('with %s', (kind, args) => {
      let daemon: DaemonProgram;

      beforeAll(async () => {
        daemon = await DaemonProgram.start({ main: main(kind), args });
      });

      afterAll(async () => {
        expect(await daemon?.stop()).toEqual({ code: 0, signal: null });
      });

      const machine = (chardev: string): QmpMachine => {
        const device = `vhost-user-${kind}-pci,chardev=vu`;
        return new QmpMachine(qemu, ['-chardev', `socket,id=vu,${chardev}`, '-device', device]);
      };

      it('does not migrate the device', async () => {
        await using qmp = machine(`path=${daemon.socketPath()}`);
        await qmp.up();
        const refused = await qmp.ask('migrate', { uri: 'exec:cat >/dev/null' });
        expect(refused.error?.desc).toContain('non-migratable device');
        expect(refused.error?.desc).toContain(`vhost-user-${kind}`);
      });

      const own = (): string => `${daemon.socketPath()}-qemu`;
      /** A machine that listens, with its back-end joined. */
      const listening = async (relay: VhostUserRelay): Promise<QmpMachine> => {
        const qmp = machine(`path=${own()},server=on`);
        await Promise.all([relay.connect(own()), qmp.up()]);
        return qmp;
      };

      it('starts where it listens', async () => {
        using relay = new VhostUserRelay(daemon.socketPath());
        await using qmp = await listening(relay);
        expect(await qmp.ask('query-status')).toMatchObject({ return: { running: false } });
        expect(relay.requests).toContain('VHOST_USER_SET_OWNER');
      });

      const reconnect = qemu === 'installed' ? 'reconnect=1' : 'reconnect-ms=100';
      it(`${kind === 'gpio' && qemu === 'installed' ? 'starts' : 'does not start'} with ${reconnect}`, async () => {
        await using qmp = machine(`path=${daemon.socketPath()},${reconnect}`);
        if (kind === 'gpio' && qemu === 'installed') {
          await qmp.up();
          return;
        }
        expect(await qmp.exit).not.toBe(0);
        expect(qmp.stderr).toContain('Failed to set msg fds');
      });

      // Of 7.2 it may leave and return: see qemu-devices.test.ts.
      if (qemu === 'newest') {
        it('aborts when a back-end leaves where it listens', async () => {
          using relay = new VhostUserRelay(daemon.socketPath());
          await using qmp = await listening(relay);
          relay.disconnect();
          expect(await qmp.exit).toBe('SIGABRT');
        });
      }
    });
  });
}
