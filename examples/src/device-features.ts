// The shortest front-end: asks a vhost-user device what it can do, and prints the names of its feature
// bits. For an I2C device:
//
//   vhost-device-i2c --socket-path /tmp/i2c.sock --simulate &
//   node examples/dist/device-features.js /tmp/i2c.sock I2C
import { VhostUserFrontend } from '@node-vmm/vhost-user-master';
import * as bindings from '@node-vmm/virtio-bindings';
import { MainPoller } from '@node-vmm/vmm-sys-util';

const [path = '/tmp/i2c.sock', device = 'I2C'] = process.argv.slice(2);

// `VIRTIO_F_*` and `VIRTIO_RING_F_*` are every device's, `VIRTIO_I2C_F_*` those of one type.
const ours = new RegExp(`^VIRTIO_(RING_|${device}_)?F_`);
const names = Object.entries(bindings).filter(([name]) => ours.test(name));

const poller = new MainPoller();
const frontend = await VhostUserFrontend.connect({ path, poller, waitMs: 5000 });
await frontend.negotiate();
for (let bit = 0; bit < 64; bit++) {
  if (!bindings.hasFeature(frontend.deviceFeatures, bit)) continue;
  const [name = 'unknown'] = names.find(([, number]) => number === bit) ?? [];
  console.log(`${String(bit).padStart(2)} ${name}`);
}
frontend.close();
poller.close();
