import { describe, expect, it } from 'vitest';
import {
  _IOC_NONE,
  _IOR,
  _IOW,
  _IOWR,
  addressOf,
  asFd,
  ENOTTY,
  EventFd,
  ioctl,
  ioctlAsync,
  ioctlOnce,
  legacyIoctl,
  SysError,
  UnixStream,
  writeFd,
} from '../../src/index.ts';

describe('ioctl numbers', () => {
  // Values from linux/kvm.h, xen/privcmd.h and linux/gpio.h as the C preprocessor prints them.
  it.each([
    [_IOC_NONE('KVM_GET_API_VERSION', 0xae, 0).number, 0xae00],
    [_IOC_NONE('IOCTL_PRIVCMD_DM_OP', 'P', 5, 16).number, 0x105005],
    [_IOC_NONE('IOCTL_PRIVCMD_MMAP_RESOURCE', 'P', 7, 32).number, 0x205007],
    [_IOW('KVM_IOEVENTFD', 0xae, 0x79, 64).number, 0x4040ae79],
    [_IOR('GPIO_GET_CHIPINFO_IOCTL', 0xb4, 1, 68).number, 0x8044b401],
    [_IOWR('GPIO_V2_GET_LINEINFO_IOCTL', 0xb4, 5, 256).number, 0xc100b405],
    [legacyIoctl('I2C_RDWR', 0x707).number, 0x707],
  ])('%#', (actual, expected) => {
    expect(actual).toBe(expected);
  });

  it('names the request in the error', () => {
    using eventfd = EventFd.create();
    const request = legacyIoctl('I2C_RDWR', 0x707);
    expect(() => ioctl(eventfd.fd, request, null)).toThrow('ioctl(I2C_RDWR) failed: ENOTTY');
    try {
      ioctl(asFd(99_999), request, null, '/dev/i2c-9');
      expect.unreachable();
    } catch (error) {
      expect(SysError.is(error) && error.code).toBe('EBADF');
    }
  });

  it('are issued on another thread for who cannot wait', async () => {
    const size = Int32Array.of(0);
    const [near, far] = UnixStream.pair();
    try {
      expect(writeFd(far.fd, new Uint8Array(5), 5)).toBe(5);
      const fionread = legacyIoctl('FIONREAD', 0x541b);
      expect(await ioctlAsync(near.fd, fionread, addressOf(size))).toBe(0);
      expect(size[0]).toBe(5);
      expect(await ioctlAsync(asFd(99_999), fionread, addressOf(size))).toBe(-1);
    } finally {
      near.close();
      far.close();
    }
  });

  it('returns the errno of one that is not to be repeated, and throws nothing', () => {
    using eventfd = EventFd.create();
    expect(ioctlOnce(eventfd.fd, legacyIoctl('I2C_RDWR', 0x707), 0)).toBe(-ENOTTY);
  });
});
