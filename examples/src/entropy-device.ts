// A whole device: entropy (VIRTIO 1.3 §5.4) for any vhost-user front-end, QEMU for instance.
//
//   node examples/dist/entropy-device.js /tmp/rng.sock
import { isMainThread } from 'node:worker_threads';
import { type CreateDevice, VhostUserDaemon } from '@node-vmm/vhost-user-backend';

export const createDevice: CreateDevice<undefined> = () => ({
  features: 0n,
  queueMaxSizes: [1024],
  process(queue, batch) {
    for (let i = 0; i < batch.length; i++) {
      const chain = batch.at(i);
      // The guest says how long its buffer is: no more than is sensible at once.
      const bytes = crypto.getRandomValues(new Uint8Array(Math.min(chain.writableLength, 65536)));
      queue.complete(chain, chain.write(bytes, 0));
    }
  },
  [Symbol.dispose]() {},
});

// The main thread speaks vhost-user; a worker imports this module for `createDevice`.
if (isMainThread) {
  const [socketPath = '/tmp/rng.sock'] = process.argv.slice(2);
  const module = new URL(import.meta.url);
  await new VhostUserDaemon().addDevice({ name: 'rng', module, socketPath });
}
