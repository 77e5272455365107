// Prints what toolstack and guests write below a path of xenstore, until Ctrl-C.
//
//   node examples/dist/watch-xenstore.js /local/domain     # in dom0, or in a guest
//   node examples/dist/watch-xenstore.js --fake            # on a xenstored in memory, with a toolstack
import { parseArgs } from 'node:util';
import { XenStore } from '@node-vmm/xen-store';
import { FakeXenStored } from '@node-vmm/xen-store/testing';

const { values, positionals } = parseArgs({
  options: { fake: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const [path = '/local/domain'] = positionals;

const xenstored = values.fake ? await FakeXenStored.start() : undefined;
const store = XenStore.open(xenstored === undefined ? {} : { path: xenstored.path });

// The first event comes at once, without a change.
const watch = await store.watch(path);
process.once('SIGINT', () => watch.close());

// The toolstack of the fake: a guest appears. What belongs together is written in a transaction.
const guest = `${path}/7`;
if (values.fake) {
  await store.transaction(async (t) => {
    await t.write(`${guest}/name`, 'guest');
    await t.write(`${guest}/device/virtio/22/state`, '4');
  });
}

for await (const { path: changed } of watch) {
  const value = await store.tryRead(changed);
  // Guests write what they like: shown with escapes.
  const shown = value === undefined ? 'is not there' : `= ${JSON.stringify(value)}`;
  console.log(`${JSON.stringify(changed).slice(1, -1)} ${shown}`);
  if (!values.fake) continue;
  // And goes.
  if (changed.endsWith('/state') && value !== undefined) await store.rm(guest);
  else if (changed === guest) break;
}
store.close();
await xenstored?.close();
