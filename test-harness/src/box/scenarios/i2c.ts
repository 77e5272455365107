import { announce, bridgeArguments } from '../guest-devices.ts';
import { bootI2cBox } from '../i2c-setup.ts';
import type { Scenario } from './scenario.ts';

/** The main job: an I2C clock of dom0 read by a Linux guest through xen-vhost-master. */
export const i2c: Scenario = {
  name: 'i2c',
  description: 'a Linux guest on Xen reads an I2C clock of dom0 through xen-vhost-master',
  needs: ['guest-devices'],
  async run({ bed, say }) {
    say(
      `booting Xen (${bed.name}); dom0 gets an I2C adapter from a simulated DS1338 clock on this machine`,
    );
    const i2cBox = await bootI2cBox('i2c', { bed: bed.name });
    const { box } = i2cBox;
    try {
      say(`dom0 is up; logs are in ${box.runDirectory}`);
      if (i2cBox.fullBus) say('its I2C adapter is served by a simulated DS1338 on this machine');
      const daemon = `vhost-device-i2c -s /root/vi2c.sock -c 1 ${i2cBox.chips('32')}`;
      const told = bridgeArguments(bed, { i2c: ['i2c'] });
      const bridge = `xen-vhost-master --socket-path /root/vi2c.sock0 --name i2c ${told}`.trim();
      say(`dom0 # ${daemon} &`);
      box.spawn('vhost-device-i2c', daemon);
      say(`dom0 # ${bridge} &`);
      await box.spawn('xen-vhost-master', bridge).waitFor(/watching for devices/);
      const [config = ''] = announce(bed, ['i2c']).config;
      say(`dom0 # xl create i2c.cfg${config === '' ? '' : `        (${config})`}`);
      const guest = await box.createDomain({ name: 'i2c', devices: ['i2c'] });
      await guest.waitUp();
      say(`the guest is up: ${(await guest.sh('uname -srm')).trim()}`);
      for (const command of [
        'i2cdetect -y -r 0 | grep 20:',
        'echo ds1338 0x20 > /sys/bus/i2c/devices/i2c-0/new_device',
        'hwclock -r -u',
      ]) {
        const said = (await guest.sh(command)).trim();
        say(`guest # ${command}${said === '' ? '' : `\n${said}`}`);
      }
      await guest.destroy();
      say('the guest is destroyed');
    } finally {
      await i2cBox.stop();
    }
  },
};
