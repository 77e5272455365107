// A board of chips for a driver's test: a thermometer and an EEPROM on I2C, and a button on GPIO, which
// the test moves from outside while the driver looks. Here the driver is a few functions; with a guest in
// QEMU in their place the test is the same (`-device vhost-user-i2c-pci,chardev=...`).
//
//   node examples/dist/chip-board.js
import { deepEqual, equal } from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { VhostUserDaemon } from '@node-vmm/vhost-user-backend';
import { connectDevice } from '@node-vmm/vhost-user-backend/testing';
import {
  VIRTIO_GPIO_DIRECTION_IN,
  VIRTIO_GPIO_MSG_GET_VALUE,
  VIRTIO_GPIO_MSG_SET_DIRECTION,
  VIRTIO_GPIO_REQUEST,
  VIRTIO_GPIO_STATUS_OK,
} from '@node-vmm/virtio-bindings/gpio';
import {
  VIRTIO_I2C_FLAGS_FAIL_NEXT,
  VIRTIO_I2C_FLAGS_M_RD,
  VIRTIO_I2C_MSG_OK,
  VIRTIO_I2C_OUT_HDR,
} from '@node-vmm/virtio-bindings/i2c';

const THERMOMETER = 0x48;
const EEPROM = 0x50;
const BUTTON = 2;

// The board.
const directory = mkdtempSync(join(tmpdir(), 'board-'));
const daemon = new VhostUserDaemon();
const chips = await daemon.addDevice({
  name: 'i2c',
  module: new URL(import.meta.resolve('@node-vmm/vhost-device-i2c')),
  options: {
    hosts: [
      {
        kind: 'simulated',
        board: [
          { chip: 'tmp105', address: THERMOMETER },
          { chip: '24c02', address: EEPROM },
        ],
        addresses: [THERMOMETER, EEPROM],
      },
    ],
  },
  socketPath: join(directory, 'i2c.sock'),
});
const lines = await daemon.addDevice({
  name: 'gpio',
  module: new URL(import.meta.resolve('@node-vmm/vhost-device-gpio')),
  options: { host: { kind: 'simulated', lines: 4, names: ['led', '', 'button'] } },
  socketPath: join(directory, 'gpio.sock'),
});

// The guest.
const i2c = await connectDevice({ socketPath: join(directory, 'i2c.sock') });
const gpio = await connectDevice({ socketPath: join(directory, 'gpio.sock') });
after(async () => {
  await i2c.close();
  await gpio.close();
  await daemon.close();
  rmSync(directory, { recursive: true });
});

/** The driver: selects a register and reads it, as one transfer. */
async function readRegister(
  address: number,
  register: number,
  length: number,
): Promise<Uint8Array> {
  const addr = address << 1;
  const select = VIRTIO_I2C_OUT_HDR.encode({ addr, flags: VIRTIO_I2C_FLAGS_FAIL_NEXT });
  const read = VIRTIO_I2C_OUT_HDR.encode({ addr, flags: VIRTIO_I2C_FLAGS_M_RD });
  const queue = i2c.queue(0);
  const [[selected], [data, status]] = await Promise.all([
    queue.request([select, Uint8Array.of(register)], [1]),
    queue.request([read], [length, 1]),
  ]);
  deepEqual(
    [selected, status],
    [Uint8Array.of(VIRTIO_I2C_MSG_OK), Uint8Array.of(VIRTIO_I2C_MSG_OK)],
  );
  return data ?? new Uint8Array();
}

async function readTemperature(): Promise<number> {
  const [high = 0, low = 0] = await readRegister(THERMOMETER, 0, 2);
  return ((((high << 8) | low) << 16) >> 20) / 16;
}

async function askLine(type: number, line: number, value = 0): Promise<number | undefined> {
  const request = VIRTIO_GPIO_REQUEST.encode({ type, gpio: line, value });
  const [[status, answer] = []] = await gpio.queue(0).request([request], [2]);
  equal(status, VIRTIO_GPIO_STATUS_OK);
  return answer;
}

test('the driver reads what the thermometer measures', async () => {
  for (const degrees of [23.5, -40]) {
    await chips.command(['chip', '0x48', 'temperature', String(degrees)]);
    equal(await readTemperature(), degrees);
  }
});

test('the driver reads what is in the EEPROM', async () => {
  await chips.command(['chip', '0x50', 'contents', '0x10', '0102ff']);
  deepEqual([...(await readRegister(EEPROM, 0x10, 4))], [1, 2, 255, 255]);
});

test('the driver sees the button', async () => {
  await askLine(VIRTIO_GPIO_MSG_SET_DIRECTION, BUTTON, VIRTIO_GPIO_DIRECTION_IN);
  equal(await askLine(VIRTIO_GPIO_MSG_GET_VALUE, BUTTON), 0);
  await lines.command(['line', 'button', '1']);
  equal(await askLine(VIRTIO_GPIO_MSG_GET_VALUE, BUTTON), 1);
});
