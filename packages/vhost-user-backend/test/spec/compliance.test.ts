// The suite that device authors run, on a device that keeps its rules and on some that do not.
import { deepEqual } from 'node:assert/strict';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type ServedDevice, VhostUserDaemon } from '../../src/index.ts';
import {
  type DeviceProfile,
  type DeviceSubject,
  deviceComplianceCases,
  Sockets,
} from '../../src/testing/index.ts';
import { OfferingRelay } from '../support/offering-relay.ts';

const FLAWED = new URL('../fixtures/flawed-device.mjs', import.meta.url);
const DATA = Uint8Array.of(1, 2, 3);

const profile: DeviceProfile = {
  features: 0n,
  queues: 2,
  configSize: 8,
  probe: {
    queue: 1,
    readable: [DATA],
    writable: [3],
    check: (answer) => deepEqual(answer, [DATA]),
  },
};

let sockets: Sockets;
let daemon: VhostUserDaemon;
let device: ServedDevice;

async function serve(flaw: string): Promise<string> {
  sockets = new Sockets();
  daemon = new VhostUserDaemon({ onDeviceFailed: () => undefined });
  const socketPath = sockets.path();
  device = await daemon.addDevice({ name: flaw, module: FLAWED, socketPath, options: { flaw } });
  return socketPath;
}

function commanded(socketPath: string): DeviceSubject {
  const command = (words: readonly string[]): Promise<unknown> => device.command(words);
  return { ...profile, socketPath, pid: process.pid, command, commandWords: ['byte'] };
}

async function end(): Promise<void> {
  await daemon.close();
  sockets.close();
}

describe('A device that keeps the rules', () => {
  let socketPath: string;
  beforeAll(async () => {
    socketPath = await serve('none');
  });
  afterAll(end);

  it.each(deviceComplianceCases)('$section: $name', async ({ run }) => {
    await run(commanded(socketPath));
    expect(device.failure).toBeUndefined();
  });

  it('need not have commands', async () => {
    for (const { run } of deviceComplianceCases.filter(({ section }) => section === 'Commands')) {
      await run({ ...profile, socketPath, pid: process.pid });
    }
  });
});

describe('A device that breaks one', () => {
  afterEach(end);

  it.each([
    ['feature', 'no feature is offered that neither', /0x2/],
    ['queues', 'GET_QUEUE_NUM says how many', /1n/],
    ['config', 'is read as a whole and in parts', /0 !== 8/],
    ['content', 'requests of any content and shape', /./],
    ['leak', 'front-ends that come and go one after', /descriptors open, \d+ before/],
    ['command', 'words that make no sense', /^no-such-command: /],
    ['argument', 'commands of any words', /^byte .*: /],
    ['holds', 'GET_VRING_BASE stops a ring', /taken and not returned/],
  ])(
    '%s: %s ... says so',
    async (flaw, name, reason) => {
      const found = deviceComplianceCases.filter((one) => one.name.includes(name));
      expect(found).toHaveLength(1);
      const socketPath = await serve(flaw);
      const { probe } = profile;
      const subject = {
        ...commanded(socketPath),
        probe: { ...probe, queue: flaw === 'queues' ? 0 : 1, check: () => undefined },
      };
      await expect(found[0]?.run(subject)).rejects.toThrow(reason);
    },
    120_000,
  );
});

describe('A back-end that offers what QEMU takes for the guest unasked', () => {
  afterEach(end);

  it.each([
    ['VIRTIO_F_ACCESS_PLATFORM', 33],
    ['VIRTIO_F_RING_PACKED', 34],
    ['VIRTIO_F_IN_ORDER', 35],
  ])('fails for %s', async (_name, bit) => {
    const name = 'RING_PACKED, IN_ORDER and ACCESS_PLATFORM are not offered by default';
    const found = deviceComplianceCases.filter((one) => one.name.startsWith(name));
    expect(found).toHaveLength(1);
    const devicePath = await serve('none');
    const socketPath = sockets.path();
    using _relay = new OfferingRelay(socketPath, devicePath, 1n << BigInt(bit));
    const subject = { ...profile, socketPath, pid: process.pid };
    const hex = `0x${(1n << BigInt(bit)).toString(16)}`;
    await expect(found[0]?.run(subject)).rejects.toThrow(hex);
  });
});

it('each case has a section and a name of its own', () => {
  const names = deviceComplianceCases.map(({ section, name }) => `${section}: ${name}`);
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBeGreaterThan(60);
});
