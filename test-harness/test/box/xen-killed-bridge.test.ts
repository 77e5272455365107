import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  bootI2cBox,
  bridgeArguments,
  type Dom0Process,
  type I2cBox,
  type XenBox,
} from '../../src/box/index.ts';
import { expectNoResidue } from './i2c-box.ts';
import { onEveryBed } from './on-every-bed.ts';
import { notInCi, SCALE } from './scale.ts';

/** What Linux says of itself when something in it went wrong. */
const TROUBLE = 'Oops|BUG:|Unable to handle|Internal error|Call trace|general protection|WARNING:';

onEveryBed(
  'a bridge that is killed',
  ['guest-devices', 'kernel-notification'],
  (bed) => {
    let i2c: I2cBox;
    let box: XenBox;
    let daemon: Dom0Process;

    beforeAll(async () => {
      i2c = await bootI2cBox('xen-killed-bridge', { bed: bed.name });
      ({ box } = i2c);
      const options = '-s /run/vhost/i2c.sock -c 1 --simulate=24c02@0x50';
      daemon = box.spawn('daemon', `vhost-device-i2c ${options}`);
      await daemon.waitFor(/device ready/);
    });

    afterAll(async () => {
      await daemon?.stop();
      await i2c?.stop();
    });

    // The kernel keeps a pointer to the ioreq page of a process that is gone.
    it(
      `under load, with kernel notification, leaves dom0 alive (${SCALE.bridgeKills} times)`,
      async () => {
        for (let kill = 1; kill <= SCALE.bridgeKills; kill++) {
          const name = `killed-${kill}`;
          const table = bridgeArguments(bed, { [name]: ['i2c'] });
          const command = `xen-vhost-master -s /run/vhost --hold 120 --notification kernel ${table}`;
          const bridge = box.spawn(`bridge-${kill}`, command);
          await bridge.waitFor(/watching for devices/, 240_000);
          const domain = await box.createDomain({ name, devices: ['i2c'] });
          // Notifies for as long as somebody answers.
          await domain.sh('(while :; do i2cget -y 0 0x50 0; done) >/dev/null 2>&1 & true');
          // As long as it takes for some of them, at a moment that is another one each time.
          await box.sh(`sleep 1.${kill % 10}`);
          expect(bridge.output).toContain('"notificationsAssisted":true');
          bridge.signal('SIGKILL');
          await bridge.exited;
          // It answers, goes on scheduling, and has said nothing of trouble.
          await box.sh('sleep 2');
          const said = await box.exec(`dmesg | grep -E '${TROUBLE}'`);
          expect(said.stdout).toBe('');
          await domain.destroy();
          await expectNoResidue(box);
        }
      },
      60_000 + SCALE.bridgeKills * 300_000,
    );
  },
  notInCi,
);
