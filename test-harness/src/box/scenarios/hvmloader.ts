import { bridgeArguments } from '../guest-devices.ts';
import { XenBox } from '../xen-box.ts';
import { HVMLOADER_UP_MS } from '../xen-domain.ts';
import type { Scenario } from './scenario.ts';

const TRANSFERS = 50;
const COUNT_LOST =
  `f=0; i=0; while [ $i -lt ${TRANSFERS} ]; do ` +
  '[ "$(i2cget -y 0 0x50 0x10)" = 0xa5 ] || f=$((f+1)); i=$((i+1)); done; echo $f';

/** A guest as users have it: QEMU serves its other devices, our bridge the I2C adapter. */
export const hvmloader: Scenario = {
  name: 'hvmloader',
  description:
    "an HVM guest with hvmloader, SeaBIOS and qemu-xen uses a bridge's I2C adapter (x86)",
  needs: ['hvmloader'],
  async run({ bed, say }) {
    const box = await XenBox.boot({ bed: bed.name, name: 'hvmloader', deviceModel: true });
    try {
      say(`dom0 is up (${bed.name}); logs are in ${box.runDirectory}`);
      const daemon = 'vhost-device-i2c -s /root/vi2c.sock -c 1 --simulate=ds1338@0x20,24c02@0x50';
      const told = bridgeArguments(bed, { hvm: ['i2c'] });
      const bridge = `xen-vhost-master --socket-path /root/vi2c.sock0 --name i2c ${told}`;
      say(`dom0 # ${daemon} &`);
      box.spawn('vhost-device-i2c', daemon);
      say(`dom0 # ${bridge} &`);
      await box.spawn('xen-vhost-master', bridge).waitFor(/watching for devices/);
      say('dom0 # xl create hvm.cfg        (device_model_version = "qemu-xen")');
      const guest = await box.createDomain({
        name: 'hvm',
        devices: ['i2c'],
        firmware: 'hvmloader',
      });
      say('xl create has returned; hvmloader, SeaBIOS and the kernel take a minute or three');
      await guest.waitUp(HVMLOADER_UP_MS);
      say(`the guest is up: ${(await guest.sh('uname -srm')).trim()}`);
      for (const command of [
        'i2cdetect -y -r 0',
        'i2cset -y 0 0x50 0x10 0xa5',
        'i2cget -y 0 0x50 0x10',
        "grep '^ *5:' /proc/interrupts",
      ]) {
        const said = (await guest.sh(command, { timeoutMs: 120_000 })).trimEnd();
        say(`guest # ${command}${said === '' ? '' : `\n${said}`}`);
      }
      const lost = Number(await guest.sh(COUNT_LOST, { timeoutMs: 120_000 }));
      say(`${TRANSFERS} transfers, ${lost} of them lost`);
      if (lost !== 0) throw box.error('COMMAND_FAILED', `Cannot use I2C in hvm: ${lost} lost`);
      await guest.destroy();
      say('the guest is destroyed');
    } finally {
      await box.stop();
    }
  },
};
