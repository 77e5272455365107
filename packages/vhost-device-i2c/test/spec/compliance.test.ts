import { deepEqual } from 'node:assert/strict';
import {
  DaemonProgram,
  type DeviceProfile,
  deviceComplianceCases,
  programComplianceCases,
} from '@node-vmm/vhost-user-backend/testing';
import {
  VIRTIO_I2C_F_ZERO_LENGTH_REQUEST,
  VIRTIO_I2C_FLAGS_M_RD,
  VIRTIO_I2C_MSG_OK,
  VIRTIO_I2C_OUT_HDR,
} from '@node-vmm/virtio-bindings/i2c';
import { afterAll, beforeAll, describe, it } from 'vitest';

const EEPROM = 0x50;

const profile: DeviceProfile = {
  features: 1n << BigInt(VIRTIO_I2C_F_ZERO_LENGTH_REQUEST),
  queues: 1,
  configSize: 0,
  // A read of two bytes of an EEPROM that nobody has written, then the status.
  probe: {
    queue: 0,
    readable: [VIRTIO_I2C_OUT_HDR.encode({ addr: EEPROM << 1, flags: VIRTIO_I2C_FLAGS_M_RD })],
    writable: [2, 1],
    check: (answer) =>
      deepEqual(answer, [Uint8Array.of(0xff, 0xff), Uint8Array.of(VIRTIO_I2C_MSG_OK)]),
  },
};

const program = {
  main: new URL('../../dist/main.js', import.meta.url),
  args: ['--simulate', '24c02@0x50', '--log-level', 'silent'],
};

describe('vhost-device-i2c, a device', () => {
  let daemon: DaemonProgram;
  beforeAll(async () => {
    daemon = await DaemonProgram.start(program);
  });
  afterAll(() => daemon?.stop());

  it.each(deviceComplianceCases)('$section: $name', ({ run }) =>
    run({ ...profile, socketPath: daemon.socketPath(), pid: daemon.pid }),
  );
});

describe('vhost-device-i2c, a program', () => {
  it.each(programComplianceCases)('$section: $name', ({ run }) => run({ ...program, profile }));
});
