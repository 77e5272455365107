import { BoxError } from '../errors.ts';
import type { PvhKernel } from './pvh-kernel.ts';

/** Where `box/x86_64/shim.lds` puts the shim: kernels end below it. */
export const SHIM_BASE = 0x3000000;

/**
 * What the page begins with that goes in front of a guest's copy of the boot image; the kernel's
 * command line follows, at most 2047 ASCII characters, then zeros.
 */
export const COMMAND_LINE_TAG = 'NVMC';

const PAGE_SIZE = 4096;
const IMAGE_MAGIC = 0x494d564e;
const HEADER_SIZE = 20;
const SEGMENT_SIZE = 16;

const align = (size: number): number => Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;

/**
 * Makes the file from which the shim (`box/x86_64/shim.c`, which describes it) boots: a header page,
 * then the kernel's segments and the initramfs, each at a page boundary. It serves all guests: what
 * `smbios_firmware` names is a guest's command line page and this, one after the other.
 *
 * @param kernel - see `readPvhKernel`
 * @param initramfs - as the kernel takes it
 * @throws {BoxError} `BUILD_FAILED` when the kernel would overwrite the shim
 */
export function bootImage(kernel: PvhKernel, initramfs: Uint8Array): Buffer {
  const { segments } = kernel;
  const end = Math.max(...segments.map(({ address, memorySize }) => address + memorySize));
  if (end > SHIM_BASE) {
    throw new BoxError(
      'BUILD_FAILED',
      `Cannot make a boot image: the kernel ends at 0x${end.toString(16)}, ` +
        `above 0x${SHIM_BASE.toString(16)}; move the shim in shim.lds and boot-image.ts`,
    );
  }
  const blobs = [...segments.map(({ data }) => data), initramfs];
  const offsets: number[] = [];
  let size = align(HEADER_SIZE + segments.length * SEGMENT_SIZE);
  for (const { length } of blobs) {
    offsets.push(size);
    size = align(size + length);
  }
  const image = Buffer.alloc(size);
  blobs.forEach((blob, index) => {
    image.set(blob, offsets[index]);
  });
  const numbers = [IMAGE_MAGIC, kernel.entry];
  numbers.push(offsets.at(-1) ?? 0, initramfs.length, segments.length);
  segments.forEach(({ address, data, memorySize }, index) => {
    numbers.push(offsets[index] ?? 0, address, data.length, memorySize);
  });
  numbers.forEach((value, index) => {
    image.writeUInt32LE(value, 4 * index);
  });
  return image;
}
