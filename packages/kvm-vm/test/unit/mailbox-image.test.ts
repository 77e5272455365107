import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { mailboxImage } from '../fixtures/mailbox-image.ts';

const there = ['as', 'objcopy'].every((program) => spawnSync(program, ['--version']).status === 0);
const missing =
  there && process.arch === 'x64' ? undefined : '(skipped, unavailable: GNU binutils for x86)';

describe(`the image of the tests' guest ${missing ?? ''}`, () => {
  it.skipIf(missing)('is what GNU as makes of its source', () => {
    const directory = mkdtempSync(join(tmpdir(), 'kvm-vm-as-'));
    try {
      const source = fileURLToPath(new URL('../fixtures/mailbox-guest.s', import.meta.url));
      const [object, image] = ['guest.o', 'guest.bin'].map((name) => join(directory, name));
      execFileSync('as', ['--32', '-msyntax=intel', '-mnaked-reg', source, '-o', String(object)]);
      execFileSync('objcopy', ['-O', 'binary', '-j', '.text', String(object), String(image)]);
      expect(Buffer.from(mailboxImage()).equals(readFileSync(String(image)))).toBe(true);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
