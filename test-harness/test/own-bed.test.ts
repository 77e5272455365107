import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readOwnBed, rememberOwnXen, seriesOfBinary } from '../src/box/own-bed.ts';

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

function tools(names: readonly string[]): string {
  const path = join(home, 'tools');
  mkdirSync(join(path, 'usr/local/lib/xen/bin'), { recursive: true });
  for (const name of names) writeFileSync(join(path, 'usr/local/lib/xen/bin', name), '');
  return path;
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
    const names = ['xenconsole', 'xenconsoled', 'xen-diag', 'xen-init-dom0', 'xenstored', 'xl'];
    rememberOwnXen(tree(4, 21), tools(names));
    expect(readOwnBed()).toMatchObject({ series: '4.21', dom0: { name: 'dom0-arm64-own' } });
    rmSync(join(home, 'tools'), { recursive: true });
    expect(() => rememberOwnXen(tree(4, 21), tools(['xl']))).toThrow(/no xenconsole, .*xenstored/);
  });

  it('is refused when it is none', () => {
    expect(() => rememberOwnXen(join(home, 'absent'), undefined)).toThrow('no such file');
    expect(() => rememberOwnXen(home, undefined)).toThrow('no source tree of Xen');
    expect(() => rememberOwnXen(binary('a kernel'), undefined)).toThrow('which version');
    expect(seriesOfBinary(Buffer.from('xen,xen-4'))).toBeUndefined();
  });
});
