import { equal, ok } from 'node:assert/strict';
import {
  DaemonProgram,
  type DeviceProfile,
  deviceComplianceCases,
  programComplianceCases,
} from '@node-vmm/vhost-user-backend/testing';
import { afterAll, beforeAll, describe, it } from 'vitest';

/** What the suite has to know of this type of device. */
const profile: DeviceProfile = {
  features: 0n,
  queues: 1,
  configSize: 0,
  probe: {
    queue: 0,
    readable: [],
    writable: [64],
    check: ([bytes]) => equal(bytes?.length, 64),
  },
};

const program = {
  main: new URL('../../dist/main.js', import.meta.url),
  args: ['--log-level', 'silent'],
};

describe.each([
  // A batch at once; and requests that wait for a thread, whose first may get what was read for others.
  { source: 'the kernel’s generator', args: [], least: 64 },
  { source: 'a device', args: ['-f', '/dev/random', '-m', '1000000000'], least: 1 },
])('the device with $source', ({ args, least }) => {
  const probe = {
    ...profile.probe,
    check: ([bytes]: readonly Uint8Array[]) => ok((bytes?.length ?? 0) >= least),
  };
  let daemon: DaemonProgram;
  beforeAll(async () => {
    daemon = await DaemonProgram.start({ ...program, args: [...program.args, ...args] });
  });
  afterAll(() => daemon?.stop());

  it.each(deviceComplianceCases)('$section: $name', ({ run }) =>
    run({ ...profile, probe, socketPath: daemon.socketPath(), pid: daemon.pid }),
  );
});

describe('the program', () => {
  it.each(programComplianceCases)('$section: $name', ({ run }) => run({ ...program, profile }));
});
