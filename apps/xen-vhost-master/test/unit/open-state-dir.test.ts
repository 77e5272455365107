import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { MemoryLogger } from '@node-vmm/vhost-bridge/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openStateDir } from '../../src/open-state-dir.ts';
import type { Arguments } from '../../src/settings.ts';
import { StateDir } from '../../src/state-dir.ts';
import { TempDir } from '../support.ts';

type Asked = Pick<Arguments, 'keep' | 'stateDir'>;

const NOTHING: Asked = { keep: undefined, stateDir: undefined };
const RELEASE: Asked = { keep: false, stateDir: undefined };
const KEEP: Asked = { keep: true, stateDir: undefined };
const nowhere = (): undefined => undefined;

describe('where guests are kept', () => {
  let dir: TempDir;
  let usual: string;
  let book: MemoryLogger;
  const warnings = (): string[] =>
    book.lines.filter(({ level }) => level === 'warn').map(({ message }) => message);

  beforeEach(() => {
    dir = new TempDir();
    usual = dir.join('usual');
    book = new MemoryLogger();
  });
  afterEach(() => dir[Symbol.dispose]());

  it('is the usual directory, which is made, where the user says nothing', () => {
    using opened = openStateDir(NOTHING, book, () => usual);
    expect(opened?.path).toBe(usual);
    expect(existsSync(usual)).toBe(true);
    expect(book.lines).toEqual([]);
  });

  const UNUSABLE: [string, () => Disposable | undefined, RegExp][] = [
    [
      'another bridge has it',
      () => StateDir.open(usual, book),
      /another bridge does; give --state-dir/,
    ],
    ['it cannot be made', () => void writeFileSync(usual, ''), /EEXIST.*; give --state-dir/],
    [
      'others may write to it',
      () => {
        mkdirSync(usual);
        chmodSync(usual, 0o777);
        return undefined;
      },
      /other users may write to it; give --state-dir/,
    ],
  ];
  it.each(UNUSABLE)('is nowhere, with one warning, when %s', (_, spoil, reason) => {
    using _other = spoil();
    expect(openStateDir(NOTHING, book, () => usual)).toBeUndefined();
    expect(warnings()).toEqual(['guests lose their devices when this bridge ends']);
    expect(book.lines.at(-1)?.context).toMatchObject({ reason: expect.stringMatching(reason) });
  });
  it.each(UNUSABLE)('is refused where the user asked for it and %s', (_, spoil, reason) => {
    using _other = spoil();
    expect(() => openStateDir(KEEP, book, () => usual)).toThrow(reason);
    expect(() => openStateDir({ ...NOTHING, stateDir: usual }, book, nowhere)).toThrow(reason);
    expect(() => openStateDir({ ...RELEASE, stateDir: usual }, book, nowhere)).toThrow(reason);
    expect(warnings()).toEqual([]);
  });
  it.each(UNUSABLE)('is of no concern to --release when %s', (_, spoil) => {
    using _other = spoil();
    expect(openStateDir(RELEASE, book, () => usual)).toBeUndefined();
    expect(warnings()).toEqual([]);
  });

  it('is nowhere, with one warning, where there is no usual directory', () => {
    expect(openStateDir(NOTHING, book, nowhere)).toBeUndefined();
    expect(openStateDir(RELEASE, book, nowhere)).toBeUndefined();
    expect(warnings()).toEqual(['guests lose their devices when this bridge ends']);
    expect(book.lines.at(-1)?.context).toMatchObject({ reason: expect.stringMatching(/no XDG/) });
    expect(() => openStateDir(KEEP, book, nowhere)).toThrow(/say where by --state-dir/);
  });

  it('is looked at by --release only where there is something', () => {
    expect(openStateDir(RELEASE, book, () => usual)).toBeUndefined();
    expect(existsSync(usual)).toBe(false);
    mkdirSync(usual);
    using opened = openStateDir(RELEASE, book, () => usual);
    expect(opened?.path).toBe(usual);
  });
});
