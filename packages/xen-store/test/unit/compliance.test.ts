import { Socket } from 'node:net';
import { MainPoller, UnixStream } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { XenbusTransport, XenStore } from '../../src/index.ts';
import { FakeXenStored, xenStoreComplianceCases } from '../../src/testing/index.ts';

/** A connection through the transport for the character device, on a socket pair. */
function overXenbus(fake: FakeXenStored): XenStore {
  const [ours, theirs] = UnixStream.pair();
  fake.attach(new Socket({ fd: theirs.fd }));
  return new XenStore(new XenbusTransport(ours.fd, new MainPoller(), 'pair'));
}

const ways: readonly [string, (fake: FakeXenStored) => XenStore][] = [
  ['socket', (fake) => XenStore.open({ path: fake.path })],
  ['xenbus device', overXenbus],
];

describe.each(ways)('compliance of the fake, %s', (_name, open) => {
  let fake: FakeXenStored;
  let store: XenStore;
  let other: XenStore;

  beforeEach(async () => {
    fake = await FakeXenStored.start();
    store = open(fake);
    other = open(fake);
    await store.mkdir('/test');
  });
  afterEach(async () => {
    store.close();
    other.close();
    await fake.close();
  });

  it.each(xenStoreComplianceCases)('$section: $name', (rule) =>
    rule.run({ store, other, root: '/test' }),
  );
});
