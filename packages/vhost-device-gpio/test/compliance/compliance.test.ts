import { equal } from 'node:assert/strict';
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

describe('the device', () => {
  let daemon: DaemonProgram;
  beforeAll(async () => {
    daemon = await DaemonProgram.start(program);
  });
  afterAll(() => daemon?.stop());

  it.each(deviceComplianceCases)('$section: $name', ({ run }) =>
    run({ ...profile, socketPath: daemon.socketPath(), pid: daemon.pid }),
  );
});

describe('the program', () => {
  it.each(programComplianceCases)('$section: $name', ({ run }) => run({ ...program, profile }));
});
