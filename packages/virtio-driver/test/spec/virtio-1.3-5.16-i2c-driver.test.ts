import { featureWord, VIRTIO_F_VERSION_1 } from '@node-vmm/virtio-device';
import { VirtioI2cDriver } from '@node-vmm/virtio-driver';
import { describe, expect, it } from 'vitest';
import { BASE, DirectPlatform, IRQ } from '../direct-platform.ts';
import { TestI2cDevice } from '../i2c-device.ts';

function setUp(): { device: TestI2cDevice; driver: VirtioI2cDriver; platform: DirectPlatform } {
  const platform = new DirectPlatform();
  const device = new TestI2cDevice(platform.memory);
  const host = platform.plug(device);
  device.interrupt = () => host.queueInterrupt();
  const driver = new VirtioI2cDriver(platform, { base: BASE, irq: IRQ, timeout: 200 });
  return { device, driver, platform };
}

const coded = (code: string): unknown => expect.objectContaining({ code });

describe('VirtioI2cDriver', () => {
  it('§5.16.6.1 writes and reads back', () => {
    const { device, driver } = setUp();
    driver.write(0x50, Uint8Array.of(8, 1, 2, 3));
    expect([...device.registers.subarray(8, 11)]).toEqual([1, 2, 3]);
    expect(driver.writeRead(0x50, Uint8Array.of(9), 2)).toEqual(Uint8Array.of(2, 3));
    expect(driver.read(0x50, 1)).toEqual(Uint8Array.of(0));
  });

  it('§5.16.6.1 links the messages of a transfer by FAIL_NEXT', () => {
    const { device, driver } = setUp();
    driver.transfer([
      { address: 0x50, read: false, data: Uint8Array.of(0) },
      { address: 0x50, read: true, length: 4 },
      { address: 0x50, read: false, data: new Uint8Array(0) },
    ]);
    expect(device.seen).toEqual(['80 1 1', '80 3 4', '80 0 0']);
  });

  it('§5.16.6.1 reports which message failed, and the rest with it', () => {
    const { driver } = setUp();
    const results = driver.transfer([
      { address: 0x50, read: true, length: 1 },
      { address: 0x51, read: true, length: 1 },
      { address: 0x50, read: true, length: 1 },
    ]);
    expect(results.map((result) => result.ok)).toEqual([true, false, false]);
    expect(() => driver.read(0x7f, 1)).toThrow(coded('I2C_FAILED'));
    expect(driver.read(0x50, 1)).toHaveLength(1);
  });

  it('runs many transfers, over the wrap of the ring', () => {
    const { device, driver } = setUp();
    for (let i = 0; i < 300; i++) {
      driver.write(0x50, Uint8Array.of(i & 0xff, (i * 3) & 0xff));
      expect(driver.writeRead(0x50, Uint8Array.of(i & 0xff), 1)[0]).toBe((i * 3) & 0xff);
    }
    expect(device.seen).toHaveLength(900);
  });

  it('refuses what does not fit, and serves on', () => {
    const { driver } = setUp();
    const message = { address: 0x50, read: true, length: 1 } as const;
    expect(() => driver.transfer(new Array(22).fill(message))).toThrow(coded('TOO_LARGE'));
    expect(() => driver.read(0x50, 200_000)).toThrow(coded('TOO_LARGE'));
    expect(driver.transfer(new Array(21).fill(message)).every((result) => result.ok)).toBe(true);
  });

  it('gives up on a device that does not answer', () => {
    const { device, driver } = setUp();
    device.deaf = true;
    expect(() => driver.read(0x50, 1)).toThrow(coded('TIMEOUT'));
  });

  it('does not use the memory of a request again that the device still holds', () => {
    const { device, driver } = setUp();
    device.deaf = true;
    expect(() => driver.write(0x50, Uint8Array.of(8, 1))).toThrow(coded('TIMEOUT'));
    device.deaf = false;
    expect(() => driver.write(0x50, Uint8Array.of(9, 2))).toThrow(coded('BROKEN'));
    expect(device.seen).toEqual([]);
  });

  it('§5.16.6.3 does not drive an adapter without zero-length requests, as Linux', () => {
    const platform = new DirectPlatform();
    const device = new TestI2cDevice(platform.memory);
    device.features = featureWord(VIRTIO_F_VERSION_1);
    platform.plug(device);
    expect(() => new VirtioI2cDriver(platform, { base: BASE, irq: IRQ })).toThrow(
      coded('FEATURES_REFUSED'),
    );
  });
});
