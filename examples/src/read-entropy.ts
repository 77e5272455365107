// A front-end with a queue: sixteen random bytes from any vhost-user entropy device, that of
// entropy-device.ts or rust-vmm's.
//
//   node examples/dist/read-entropy.js /tmp/rng.sock
import { VhostUserFrontend } from '@node-vmm/vhost-user-master';
import { featureWord, VIRTIO_F_VERSION_1 } from '@node-vmm/virtio-bindings';
import { SplitDriverQueue } from '@node-vmm/virtio-queue/driver';
import { GuestMemoryMmap, guestAddress } from '@node-vmm/vm-memory';
import { EventFd, MainPoller } from '@node-vmm/vmm-sys-util';

const [path = '/tmp/rng.sock'] = process.argv.slice(2);
const poller = new MainPoller();

// The guest: its memory, and a driver that asks for 16 bytes.
const memory = GuestMemoryMmap.create([{ guestAddr: guestAddress(0), length: 0x1_0000 }]);
const layout = SplitDriverQueue.layout(64);
const driver = new SplitDriverQueue(memory, { ...layout, features: 0n });
const buffer = guestAddress(0x8000);
driver.add([{ guestAddr: buffer, length: 16, writable: true }]);
driver.publish();

// The front-end: hands memory and queue to the device.
const frontend = await VhostUserFrontend.connect({ path, poller, waitMs: 5000 });
await frontend.negotiate();
await frontend.setFeatures(frontend.deviceFeatures & featureWord(VIRTIO_F_VERSION_1));
await frontend.setMemTable(memory);
const [kick, call] = [EventFd.create(), EventFd.create()];
const called = new Promise<void>((resolve) => {
  poller.watch(call.fd, { readable: true }, () => {
    call.drain();
    if (driver.poll() !== undefined) resolve();
  });
});
await frontend.startVring({ index: 0, ...layout, base: 0, kick, call });
await called;

const bytes = new Uint8Array(16);
memory.read(buffer, bytes);
console.log(Buffer.from(bytes).toString('hex'));

await frontend.stopVring(0);
frontend.close();
poller.close();
for (const owner of [kick, call, memory]) owner.close();
