import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SIGBUS_HANDLER_ARM64 } from '../../../src/fault/handler-arm64.ts';
import { SIGBUS_HANDLER_X64 } from '../../../src/fault/handler-x64.ts';
import { assemble, type MachineCode } from '../../../src/fault/machine-code.ts';

/** Where the table is, from the first byte of the code. */
const TABLE = 0x1_0000;

/** A disassembler for a kind of files, by any of its names, undefined where there is none. */
function disassembler(names: readonly string[], target: string): string | undefined {
  return names.find((name) => {
    const { stdout } = spawnSync(name, ['--info'], { encoding: 'utf8' });
    return stdout?.split(/\s+/).includes(target) === true;
  });
}

/** What the table says of each instruction, with addresses in place of labels. */
function written(code: MachineCode): string[] {
  const labels = new Map([['table', TABLE]]);
  let at = 0;
  for (const [label, bytes] of code) {
    if (label !== '') labels.set(label, at);
    at += bytes.length / 2;
  }
  return code.map(([, bytes, text]) => {
    const resolved = text.replace(/(?<=[ +])[a-z]+$|(?<=\+)[a-z]+(?=\])/, (word) => {
      const address = labels.get(word);
      return address === undefined ? word : `0x${address.toString(16)}`;
    });
    return `${bytes} ${resolved}`;
  });
}

/** What `objdump` says of each, in the same way. */
function disassembled(code: Uint8Array, objdump: string, machine: readonly string[]): string[] {
  const directory = mkdtempSync(join(tmpdir(), 'handler-'));
  const file = join(directory, 'code');
  writeFileSync(file, code);
  const args = ['-D', '-b', 'binary', '-w', ...machine, file];
  const output = execFileSync(objdump, args, { encoding: 'utf8' });
  rmSync(directory, { recursive: true });
  return [...output.matchAll(/^ *[0-9a-f]+:\t([0-9a-f ]+?)\s*\t(.*)$/gm)].map(([, hex, line]) => {
    const bytes = hex?.replaceAll(' ', '') ?? '';
    const text = (line ?? '')
      .replace(/\[rip\+0x[0-9a-f]+\]\s+# (0x[0-9a-f]+)/, '[rip+$1]')
      .replace(/\s*\/\/.*/, '')
      .replaceAll(/\s+/g, ' ')
      .trim();
    // Words of arm64 are printed as numbers.
    const inMemory = machine.includes('aarch64')
      ? (bytes.match(/../g) ?? []).reverse().join('')
      : bytes;
    return `${inMemory} ${text}`;
  });
}

const X64 = disassembler(['objdump', 'x86_64-linux-gnu-objdump'], 'elf64-x86-64');
const ARM64 = disassembler(['objdump', 'aarch64-linux-gnu-objdump'], 'elf64-littleaarch64');

describe('the machine code of SIGBUS handlers', () => {
  it.skipIf(X64 === undefined)('is what it says, for x86_64 (needs binutils)', () => {
    const machine = ['-m', 'i386:x86-64', '-M', 'intel'];
    const seen = disassembled(assemble(SIGBUS_HANDLER_X64), X64 ?? '', machine);
    expect(seen).toEqual(written(SIGBUS_HANDLER_X64));
  });

  it.skipIf(ARM64 === undefined)('is what it says, for arm64 (needs binutils for aarch64)', () => {
    const seen = disassembled(assemble(SIGBUS_HANDLER_ARM64), ARM64 ?? '', ['-m', 'aarch64']);
    expect(seen).toEqual(written(SIGBUS_HANDLER_ARM64));
  });

  it('fits a page, by which it is recognised', () => {
    for (const code of [SIGBUS_HANDLER_X64, SIGBUS_HANDLER_ARM64]) {
      expect(assemble(code).length).toBeLessThan(4096);
    }
  });
});
