import { XenBox } from '../xen-box.ts';
import type { Scenario } from './scenario.ts';

const INFO = /^(release|xen_version|virt_caps|total_memory|free_memory|cc_compile_date)\s/;

/** The least that has to work: Xen, dom0, a guest without devices. */
export const smoke: Scenario = {
  name: 'smoke',
  description: 'boots Xen and dom0, prints versions, creates and destroys a guest without devices',
  async run({ bed, say }) {
    const box = await XenBox.boot({ bed: bed.name, name: 'smoke' });
    try {
      say(`dom0 is up; logs are in ${box.runDirectory}`);
      for (const line of (await box.sh('xl info')).split('\n')) if (INFO.test(line)) say(line);
      say(`node ${(await box.sh('node --version')).trim()}`);
      const guest = await box.createDomain({ name: 'smoke' });
      say('xl create has returned');
      await guest.waitUp();
      say(`the guest is up: ${(await guest.sh('uname -srm')).trim()}`);
      await guest.destroy();
      say('the guest is destroyed');
    } finally {
      await box.stop();
    }
  },
};
