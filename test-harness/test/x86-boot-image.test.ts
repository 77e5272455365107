import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BoxError } from '../src/box/errors.ts';
import { hasProgram } from '../src/box/host-tools.ts';
import { bootImage, COMMAND_LINE_TAG, SHIM_BASE } from '../src/box/x86/boot-image.ts';
import { readPvhKernel } from '../src/box/x86/pvh-kernel.ts';
import { buildShim, shimSources } from '../src/box/x86/shim.ts';
import type { GuestOptions } from '../src/box/xen-machines/index.ts';
import { x86Machine } from '../src/box/xen-machines/x86.ts';

interface Header {
  type: number;
  address?: number;
  data: Buffer;
  memorySize?: number;
}

/** A 64-bit ELF file with these program headers; their data follows them. */
function elf(headers: Header[]): Buffer {
  const head = Buffer.alloc(64 + 56 * headers.length);
  head.write('\x7fELF', 'latin1');
  head[4] = 2;
  head.writeUInt16LE(62, 18);
  head.writeBigUInt64LE(64n, 32);
  head.writeUInt16LE(56, 54);
  head.writeUInt16LE(headers.length, 56);
  let offset = head.length;
  headers.forEach(({ type, address = 0, data, memorySize = data.length }, index) => {
    const at = 64 + 56 * index;
    head.writeUInt32LE(type, at);
    [offset, 0xffffffff, address, data.length, memorySize].forEach((value, field) => {
      head.writeBigUInt64LE(BigInt(value), at + 8 + 8 * field);
    });
    offset += data.length;
  });
  return Buffer.concat([head, ...headers.map(({ data }) => data)]);
}

function note(name: string, type: number, value: Buffer): Buffer {
  const pad = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
  const head = Buffer.alloc(12);
  [name.length, value.length, type].forEach((field, index) => {
    head.writeUInt32LE(field, 4 * index);
  });
  return Buffer.concat([head, pad(Buffer.from(name, 'latin1')), pad(value)]);
}

const entry = Buffer.from([0x40, 0x10, 0x00, 0x01, 0, 0, 0, 0]);
const notes = {
  type: 4,
  data: Buffer.concat([
    note('GNU\0', 18, Buffer.alloc(4, 1)),
    note('Xen\0', 6, Buffer.from('linux')),
    note('Xen\0', 18, entry),
  ]),
};
const text = { type: 1, address: 0x1000000, data: Buffer.from('text'), memorySize: 0x3000 };
const data = { type: 1, address: 0x1003000, data: Buffer.alloc(5000, 7) };

const codeOf = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    if (BoxError.is(error)) return error.code;
    throw error;
  }
  return 'none';
};

describe('the kernel of an HVM guest', () => {
  it('has the PVH entry of the note and its segments at physical addresses', () => {
    const kernel = readPvhKernel(elf([text, { type: 6, data: Buffer.alloc(3) }, data, notes]));
    expect(kernel.entry).toBe(0x1001040);
    expect(kernel.segments).toEqual([
      { address: 0x1000000, data: text.data, memorySize: 0x3000 },
      { address: 0x1003000, data: data.data, memorySize: 5000 },
    ]);
  });

  it('is refused without a PVH entry, and when it is no vmlinux', () => {
    expect(codeOf(() => readPvhKernel(elf([text, data])))).toBe('BUILD_FAILED');
    expect(codeOf(() => readPvhKernel(Buffer.from('MZ bzImage')))).toBe('BUILD_FAILED');
    const arm = elf([text, notes]);
    arm.writeUInt16LE(183, 18);
    expect(codeOf(() => readPvhKernel(arm))).toBe('BUILD_FAILED');
  });
});

describe('the boot image', () => {
  const kernel = readPvhKernel(elf([text, data, notes]));

  it('has everything at page boundaries, as its header says', () => {
    const initramfs = Buffer.from('initramfs');
    const image = bootImage(kernel, initramfs);
    const numbers = Array.from({ length: 13 }, (_, index) => image.readUInt32LE(4 * index));
    expect(image.toString('latin1', 0, 4)).toBe('NVMI');
    expect(numbers.slice(1)).toEqual([
      ...[0x1001040, 0x4000, initramfs.length, 2],
      ...[0x1000, 0x1000000, 4, 0x3000],
      ...[0x2000, 0x1003000, 5000, 5000],
    ]);
    expect(image.length).toBe(0x5000);
    expect(image.toString('latin1', 0x1000, 0x1004)).toBe('text');
    expect(image.subarray(0x2000, 0x2000 + 5000)).toEqual(data.data);
    expect(image.subarray(0x4000, 0x4000 + initramfs.length)).toEqual(initramfs);
  });

  it('is refused when the kernel would overwrite the shim', () => {
    const huge = { ...kernel, segments: [{ ...text, memorySize: SHIM_BASE }] };
    expect(codeOf(() => bootImage(huge, Buffer.alloc(1)))).toBe('BUILD_FAILED');
  });
});

describe('the configuration of an HVM guest', () => {
  const guest: GuestOptions = {
    ...{ name: 'one', memory: 128, vcpus: 2, cpu: 1, kernelArgs: 'quiet' },
    firmware: 'shim',
  };

  it('has no device model and boots by the shim', () => {
    const lines = x86Machine.guestConfig(guest);
    expect(lines).toContain('name = "one"');
    expect(lines).toContain('memory = 128');
    expect(lines).toContain('vcpus = 2');
    expect(lines).toContain('device_model_version = "qemu-xen-traditional"');
    expect(lines).toContain('firmware_override = "/boot/guest/shim"');
    expect(lines).toContain('smbios_firmware = "/root/one.boot"');
  });

  it('is made with a page that has the command line, ended by zeros, before the image', () => {
    const root = mkdtempSync(join(tmpdir(), 'guest-test-'));
    const command = x86Machine
      .guestPrepare(guest)
      .replaceAll('/root/', `${root}/`)
      .replaceAll('/boot/guest/', `${root}/`);
    writeFileSync(join(root, 'image'), 'image');
    execFileSync('sh', ['-c', command]);
    const file = readFileSync(join(root, 'one.boot'));
    rmSync(root, { recursive: true });
    expect(file.toString('latin1', 0, 38)).toBe('NVMCconsole=hvc0 loglevel=5 quiet\0\0\0\0\0');
    expect(file.toString('latin1', 4096)).toBe('image');
  });
});

describe('the shim', () => {
  const { 'shim.c': source, 'shim.lds': script } = shimSources();

  it('is where the writer of boot images thinks, and reads the same magic numbers', () => {
    expect(script).toContain(`SHIM_BASE = 0x${SHIM_BASE.toString(16)};`);
    const constant = (name: string): number =>
      Number(new RegExp(`#define ${name} (0x[0-9a-f]+)u`).exec(source)?.[1]);
    expect(constant('IMAGE_MAGIC')).toBe(Buffer.from('NVMI').readUInt32LE());
    expect(constant('COMMAND_LINE_MAGIC')).toBe(Buffer.from(COMMAND_LINE_TAG).readUInt32LE());
  });

  it.skipIf(!hasProgram('gcc'))('compiles to one 32-bit segment without notes', async () => {
    const work = mkdtempSync(join(tmpdir(), 'shim-test-'));
    const out = join(work, 'shim');
    await buildShim(out, work, { log: join(work, 'log') });
    const file = readFileSync(out);
    rmSync(work, { recursive: true });
    expect(file.toString('latin1', 0, 5)).toBe('\x7fELF\x01');
    expect(file.readUInt32LE(24)).toBe(SHIM_BASE);
    expect(file.readUInt16LE(44)).toBe(1);
    const header = file.readUInt32LE(28);
    expect([0, 8, 12].map((field) => file.readUInt32LE(header + field))).toEqual([
      1,
      SHIM_BASE,
      SHIM_BASE,
    ]);
  });
});
