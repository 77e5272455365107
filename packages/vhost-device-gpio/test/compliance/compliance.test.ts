import { deepEqual } from 'node:assert/strict';
import {
  DaemonProgram,
  type DeviceProfile,
  deviceComplianceCases,
  programComplianceCases,
} from '@node-vmm/vhost-user-backend/testing';
import {
  VIRTIO_GPIO_F_IRQ,
  VIRTIO_GPIO_MSG_GET_VALUE,
  VIRTIO_GPIO_STATUS_OK,
} from '@node-vmm/virtio-bindings/gpio';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { request } from '../support/requests.ts';

/** What the suite has to know of this type of device. */
const profile: DeviceProfile = {
  features: 1n << BigInt(VIRTIO_GPIO_F_IRQ),
  queues: 2,
  configSize: 8,
  probe: {
    queue: 0,
    readable: [request(VIRTIO_GPIO_MSG_GET_VALUE, 3)],
    writable: [2],
    check: (answer) => deepEqual(answer, [Uint8Array.of(VIRTIO_GPIO_STATUS_OK, 0)]),
  },
};

const program = {
  main: new URL('../../dist/main.js', import.meta.url),
  args: ['--device-list', 's8', '--log-level', 'silent'],
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
