import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { WORKSPACE_ROOT } from '../src/box/paths.ts';
import { virtioSections, wrongCitations } from '../src/spec/section-citations.ts';

const NOT_OURS = new Set(['node_modules', 'dist', '.git', '.turbo', 'golden']);
const TEXT = /\.(ts|mjs|md|json|ya?ml|sh)$/;

function* textFiles(directory: string): Generator<string> {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory() && !NOT_OURS.has(entry.name)) yield* textFiles(path);
    else if (entry.isFile() && TEXT.test(entry.name)) yield path;
  }
}

const sections = virtioSections();
/** Spelled so that this file does not cite what it gives as wrong. */
const S = '\u00a7';

describe('sections of VIRTIO 1.3', () => {
  it('that the tree cites are those of its table of contents', () => {
    let citations = 0;
    const wrong = [...textFiles(WORKSPACE_ROOT)].flatMap((path) => {
      const text = readFileSync(path, 'utf8');
      citations += text.split(S).length - 1;
      return wrongCitations(relative(WORKSPACE_ROOT, path), text, sections);
    });
    expect(wrong).toEqual([]);
    expect(citations).toBeGreaterThan(100);
  });

  it.each([
    ['I2C Adapter Device', '5.16'],
    ['SCMI Device', '5.17'],
    ['GPIO Device', '5.18'],
  ])('%s is %s', (title, section) => {
    expect(sections[section]).toBe(title);
  });

  it.each([
    ['a section that is not there', 'a.ts', `${S}2.14`, 'no such section'],
    ['one that is too deep', 'a.ts', `${S}2.7.5.3.9`, 'no such section'],
    ["another section's title", 'a.ts', `${S}5.17 I2C Adapter Device`, '"SCMI Device"'],
    ['a quoted title', 'a.ts', `${S}2.8 "Split Virtqueues"`, '"Packed Virtqueues"'],
    ['a device of the line', 'a.ts', `gpio, VIRTIO 1.3 ${S}5.16.6`, 'in 5.18'],
    ['a device of the path', 'packages/vhost-device-i2c/src/a.ts', `${S}5.17.6`, 'in 5.16'],
    ['two in a line, the second', 'a.ts', `${S}2.7 and ${S}2.99`, `${S}2.99: no such section`],
    ['a file name', 'test/spec/virtio-1.3-5.20-i2c-driver.test.ts', '', 'no such section'],
    ["a file name, of another's", 'test/spec/virtio-1.3-5.18-i2c.test.ts', '', 'in 5.16'],
  ])('%s is found', (_, path, text, problem) => {
    expect(wrongCitations(path, text, sections).join()).toContain(problem);
    expect(wrongCitations(path, text, sections)).toHaveLength(1);
  });

  it.each([
    ['a chapter', 'apps/a/src/i2c.ts', `VIRTIO 1.3 ${S}5 device ID`],
    ['a sentence that is no title', 'a.ts', `${S}2.7.5.2 Drivers MUST NOT add a loop`],
    ['a title in quotes', 'a.ts', `${S}2.7 "Split Virtqueues"; names as there`],
    ['the device of the line before that of the path', 'rng.ts', `as I2C does, ${S}5.16.6`],
    ['another specification', 'a.ts', `DEN0056 ${S}4.99.2 and ${S}4.98`],
  ])('%s is right', (_, path, text) => {
    expect(wrongCitations(path, text, sections)).toEqual([]);
  });
});
