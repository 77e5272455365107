import type { DeviceSource } from '@node-vmm/vhost-bridge';
import {
  Holds,
  MemoryLogger,
  RecordingSink,
  type SourceSubject,
  sourceComplianceCases,
  type ToldState,
} from '@node-vmm/vhost-bridge/testing';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { XenStore } from '@node-vmm/xen-store';
import { FakeXenStored } from '@node-vmm/xen-store/testing';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { Domains } from '../../src/domains.ts';
import { parseToldDevice } from '../../src/told-device.ts';
import { ToldSource } from '../../src/told-source.ts';
import { VirtioDiskProtocol } from '../../src/virtio-disk-protocol.ts';
import { parseVirtioDiskRule } from '../../src/virtio-disk-rule.ts';
import { VirtioProtocol } from '../../src/virtio-protocol.ts';
import { XenbusSource } from '../../src/xenbus-source.ts';
import { StoredAnnouncements } from '../stored-announcements.ts';
import { Toolstack } from '../toolstack.ts';

let poller: MainPoller;
let stored: FakeXenStored;
let store: XenStore;
let subject: SourceSubject;

beforeEach(async () => {
  poller = new MainPoller();
  stored = await FakeXenStored.start();
  store = XenStore.open({ path: stored.path, poller });
});
afterEach(async () => {
  await subject.source.close();
  store.close();
  await stored.close();
  poller.close();
});

type Make = () => SourceSubject;

function common(): Pick<SourceSubject, 'sink' | 'holds' | 'book'> {
  return { sink: new RecordingSink(), holds: new Holds(), book: new MemoryLogger() };
}

const STATES: Record<string, ToldState> = { 1: 'announced', 2: 'up', 6: 'closed' };

/** An entry that is there says something that a toolstack knows. */
function stateOf(toolstack: Toolstack, key: string): ToldState | undefined {
  const text = toolstack.entry(key, 'state');
  if (text === undefined) return undefined;
  const state = STATES[text];
  if (state === undefined) throw new Error(`${key} has state ${text}`);
  return state;
}

/** Announced as xl does it for `virtio = [ ... ]` or `disk = [ ... ]`. */
function xenbus(devids: readonly [number, number], kind: 'virtio' | 'virtio_disk'): Make {
  return () => {
    const parts = common();
    const toolstack = new Toolstack(stored);
    const protocol =
      kind === 'virtio'
        ? new VirtioProtocol()
        : new VirtioDiskProtocol({
            rules: ['xvda=i2c', 'xvdb=i2c'].map(parseVirtioDiskRule),
            blk: false,
            domains: new Domains(store, parts.book),
          });
    const { hold } = parts.holds;
    const keys = (guest: number): readonly [string, string] => [
      `${kind}/${guest}/${devids[0]}`,
      `${kind}/${guest}/${devids[1]}`,
    ];
    return {
      ...parts,
      source: new XenbusSource({ store, logger: parts.book, hold, protocol }),
      announcements: new StoredAnnouncements(stored, keys),
      keys,
      appear: (guest) => toolstack.announce(keys(guest)),
      disappear: (guest) => {
        for (const key of keys(guest)) toolstack.remove(key);
      },
      appearBroken: () => {
        const key = (guest: number): string => keys(guest)[0];
        toolstack.announce([key(11)], { base: 'here' });
        toolstack.announce([key(12)], { irq: '99999999999999999999' });
        toolstack.announce([key(13)], { base: '-1', transport: 'pci' });
        toolstack.announce([key(14)], { transport: 'x'.repeat(1000) });
        toolstack.announce([key(15)], { state: 'five', online: '', base: '' });
        stored.write(`/local/domain/0/backend/${key(16)}/state`, '1');
        stored.write(`/local/domain/0/backend/${key(17)}/base`, '1');
      },
      state: (key) => stateOf(toolstack, key),
      handshake: true,
    };
  };
}

/** Not announced at all: domains come and go. */
function told(by: 'name' | 'number'): Make {
  return () => {
    const parts = common();
    const ref = (guest: number): string => (by === 'name' ? `guest${guest}` : String(guest));
    const devices = [1, 2, 3].flatMap((guest) => [
      parseToldDevice(`i2c,domain=${ref(guest)},base=0x2000000,irq=33`),
      parseToldDevice(`i2c,domain=${ref(guest)},base=0x2000200,irq=34`),
    ]);
    const domains = new Domains(store, parts.book);
    const { hold } = parts.holds;
    const source: DeviceSource = new ToldSource({ domains, logger: parts.book, hold, devices });
    const keys = (guest: number): readonly [string, string] => [
      `told/${guest}/0x2000000`,
      `told/${guest}/0x2000200`,
    ];
    return {
      ...parts,
      source,
      announcements: new StoredAnnouncements(stored, keys),
      keys,
      appear: (guest) => {
        stored.write(`/local/domain/${guest}/name`, `guest${guest}`);
        stored.introduce(guest);
      },
      disappear: (guest) => {
        stored.rm(`/local/domain/${guest}`);
        stored.release(guest);
      },
      appearBroken: () => {
        stored.write('/local/domain/11/name', 'guest1 ');
        stored.write('/local/domain/12/name', 'x'.repeat(2000));
        stored.tree.write('/local/domain/13/name', Uint8Array.of(0xff, 0xfe, 0), 0);
        stored.write('/local/domain/14/vm', 'guest1');
        for (const domid of [11, 12, 13, 14]) stored.introduce(domid);
      },
      state: (key) => stateOf(new Toolstack(stored), key),
      handshake: false,
    };
  };
}

describe.each([
  ['backend/virtio', xenbus([0, 1], 'virtio')],
  ['backend/virtio_disk', xenbus([51_712, 51_728], 'virtio_disk')],
  ['told by name', told('name')],
  ['told by number', told('number')],
])('a source of devices: %s', (_, make) => {
  it.each(sourceComplianceCases.map((rule) => [rule.name, rule] as const))(
    '%s',
    async (_, rule) => {
      subject = make();
      await rule.run(subject);
    },
  );
});
