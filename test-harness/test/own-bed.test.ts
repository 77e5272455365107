import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readElf } from '../src/box/elf-file.ts';
import { readOwnBed, rememberOwnXen, seriesOfBinary } from '../src/box/own-bed.ts';
import { findOwnTools } from '../src/box/own-tools.ts';

let home: string;
const before = process.env['XDG_CACHE_HOME'];

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'own-bed-test-'));
  process.env['XDG_CACHE_HOME'] = home;
  mkdirSync(join(home, 'node-vmm'));
});

afterEach(() => {
  if (before === undefined) delete process.env['XDG_CACHE_HOME'];
  else process.env['XDG_CACHE_HOME'] = before;
  rmSync(home, { recursive: true });
});

function tree(version: number, subversion: number): string {
  const path = join(home, `xen-${version}.${subversion}`);
  mkdirSync(join(path, 'xen'), { recursive: true });
  const text = `export XEN_VERSION       = ${version}\nexport XEN_SUBVERSION    = ${subversion}\n`;
  writeFileSync(join(path, 'xen/Makefile'), text);
  return path;
}

function binary(text: string): string {
  const path = join(home, 'xen');
  writeFileSync(
    path,
    Buffer.concat([Buffer.from([0xff, 0x80]), Buffer.from(text), Buffer.alloc(9)]),
  );
  return path;
}

/** Machines of ELF: EM_AARCH64, EM_X86_64. */
const [ARM64, X86_64] = [183, 62];
const NAMES = ['xenconsole', 'xenconsoled', 'xen-diag', 'xen-init-dom0', 'xenstored', 'xl'];

/** An ELF file that asks its loader for some libraries: header, two segments, names, dynamic section. */
function elf(machine: number, needed: readonly string[] = []): Buffer {
  const names = Buffer.from(`\0${needed.map((name) => `${name}\0`).join('')}`);
  const [strings, address] = [64 + 2 * 56, 0x40_0000];
  const dynamic = strings + names.length;
  const entries = [
    ...needed.map((name) => [1, names.indexOf(`${name}\0`)]),
    [5, address + strings],
  ];
  const size = dynamic + 16 * (entries.length + 1);
  const bytes = Buffer.alloc(size);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
  bytes.writeUInt16LE(machine, 18);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(2, 56);
  const segments = [
    [1, 0, address, size],
    [2, dynamic, address + dynamic, 16 * (entries.length + 1)],
  ];
  for (const [index, [type = 0, offset = 0, place = 0, length = 0]] of segments.entries()) {
    const at = 64 + 56 * index;
    bytes.writeUInt32LE(type, at);
    bytes.writeBigUInt64LE(BigInt(offset), at + 8);
    bytes.writeBigUInt64LE(BigInt(place), at + 16);
    bytes.writeBigUInt64LE(BigInt(length), at + 32);
  }
  names.copy(bytes, strings);
  for (const [index, [tag = 0, value = 0]] of entries.entries()) {
    bytes.writeBigUInt64LE(BigInt(tag), dynamic + 16 * index);
    bytes.writeBigUInt64LE(BigInt(value), dynamic + 16 * index + 8);
  }
  return bytes;
}

/** An unpacked root: file below it -> content. */
function root(files: Readonly<Record<string, string | Buffer>>): string {
  const path = mkdtempSync(join(home, 'tools-'));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), content);
  }
  return path;
}

/** All programs, each of which needs some libraries. */
function programs(needed: readonly string[], machine = ARM64): Record<string, Buffer> {
  const content = elf(machine, needed);
  return Object.fromEntries(NAMES.map((name) => [`usr/local/lib/xen/bin/${name}`, content]));
}

describe("a hypervisor of the user's own", () => {
  it('is a bed with the tools of its series', () => {
    rememberOwnXen(tree(4, 20), undefined);
    expect(readOwnBed()).toMatchObject({
      name: 'arm64-own',
      series: '4.20',
      announcement: 'virtio',
      dom0: { name: 'dom0-arm64-4.20' },
    });
    rememberOwnXen(binary('xen,xen-4.17\0xen,xen'), undefined);
    expect(readOwnBed()).toMatchObject({ series: '4.17', announcement: 'disk' });
  });

  it('says in one line that tools of its series are missing', () => {
    expect(() => rememberOwnXen(tree(4, 21), undefined)).toThrow(
      /^Cannot use \S+: its tools are missing: it is Xen 4\.21, .*; give --tools <unpacked root>$/,
    );
    expect(readOwnBed()).toBeUndefined();
  });

  it('goes with an unpacked root of tools of any series', () => {
    const needed = ['libxenlight.so.4.21', 'libxencall.so.1', 'libc.so.6'];
    const library = elf(ARM64, ['libxencall.so.1', 'libc.so.6']);
    const path = root({
      ...programs(needed),
      'usr/local/lib/libxenlight.so.4.21': library,
      'usr/local/lib/libxencall.so.1': elf(ARM64),
      // In front of them, as Debian has it.
      'usr/sbin/xl': '#!/bin/sh\nexec /usr/lib/xen-common/bin/xen-utils-wrapper "$@"\n',
    });
    // An absolute link means a file of this machine, not one of the root.
    symlinkSync(process.execPath, join(path, 'usr/sbin/xenstored'));
    rememberOwnXen(tree(4, 21), path);
    expect(readOwnBed()).toMatchObject({ series: '4.21', dom0: { name: 'dom0-arm64-own' } });
    const found = findOwnTools(path, '4.21');
    expect(found.programs.get('xl')).toBe(join(path, 'usr/local/lib/xen/bin/xl'));
    expect([...found.libraries.keys()].sort()).toEqual(['libxencall.so.1', 'libxenlight.so.4.21']);
  });

  it.each<[string, () => string, string]>([
    ['is not there', () => join(home, 'absent'), 'there is no such directory'],
    ['is a file', () => binary(''), 'it is no directory'],
    [
      'lacks programs',
      () => root({ 'usr/sbin/xl': elf(ARM64), 'usr/sbin/xenstored': '#!/bin/sh\n' }),
      'no xenconsole, xenconsoled, xen-diag, xen-init-dom0, xenstored in it',
    ],
    [
      'is of another architecture',
      () => root(programs([], X86_64)),
      'xenconsole in it is not for arm64',
    ],
    [
      'lacks a library of Xen',
      () => root(programs(['libxencall.so.1', 'libxenlight.so.4.21', 'libc.so.6'])),
      'no libxencall.so.1, libxenlight.so.4.21 for arm64 in it, which xen-diag needs',
    ],
    [
      'lacks what a library of Xen needs',
      () =>
        root({
          ...programs(['libxencall.so.1']),
          'usr/lib/libxencall.so.1': elf(ARM64, ['libxentoolcore.so.1']),
        }),
      'no libxentoolcore.so.1 for arm64 in it, which libxencall.so.1 needs',
    ],
    [
      'has a library of another architecture',
      () => root({ ...programs(['libxencall.so.1']), 'lib/libxencall.so.1': elf(X86_64) }),
      'no libxencall.so.1 for arm64 in it, which xen-diag needs',
    ],
    [
      'is of another series',
      () =>
        root({
          ...programs(['libxenlight.so.4.17']),
          'usr/lib/libxenlight.so.4.17': elf(ARM64),
        }),
      'its tools are of Xen 4.17, and the hypervisor is 4.21; both must be of one',
    ],
  ])('is refused in one line when the root of tools %s', (_, make, state) => {
    const path = make();
    expect(() => rememberOwnXen(tree(4, 21), path)).toThrow(
      expect.objectContaining({
        code: 'BAD_OPTION',
        message: `Cannot use ${path} as --tools: ${state}`,
      }),
    );
    expect(readOwnBed()).toBeUndefined();
  });

  it('reads what a real program needs, and takes nothing else for one', () => {
    const own = readElf(process.execPath);
    expect(own?.needed).toContain('libc.so.6');
    expect(own?.architecture).toBe(process.arch === 'x64' ? 'x86_64' : 'arm64');
    const whole = elf(ARM64, ['libc.so.6']);
    expect(readElf(join(root({ a: whole }), 'a'))?.needed).toEqual(['libc.so.6']);
    // A file that was cut short, at each border of what is in it and behind it.
    const path = join(root({ a: whole }), 'a');
    for (let length = whole.length - 17; length >= 0; length -= 13) {
      truncateSync(path, length);
      expect(readElf(path)?.needed ?? []).not.toContain('libc.so.6');
    }
  });

  it('is refused when it is none', () => {
    expect(() => rememberOwnXen(join(home, 'absent'), undefined)).toThrow('no such file');
    expect(() => rememberOwnXen(home, undefined)).toThrow('no source tree of Xen');
    expect(() => rememberOwnXen(binary('a kernel'), undefined)).toThrow('which version');
    expect(seriesOfBinary(Buffer.from('xen,xen-4'))).toBeUndefined();
  });
});
