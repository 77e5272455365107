import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Artefact, artefactFile, isBuilt } from '../box/artefact.ts';
import { ABI_HEADERS } from '../box/artefacts/index.ts';
import { BoxError } from '../box/errors.ts';
import { hasProgram } from '../box/host-tools.ts';
import { run } from '../box/run-command.ts';
import { ABI, type AbiGroup } from './abi.ts';

/** Layout of one struct, in bytes. */
export interface GoldenStruct {
  readonly size: number;
  readonly offsets: Readonly<Record<string, number>>;
}

/** What the headers say. */
export interface GoldenAbi {
  readonly structs: Readonly<Record<string, GoldenStruct>>;
  readonly constants: Readonly<Record<string, number>>;
}

/** Architectures that our tables are used on. */
export const ABI_TARGETS = {
  x86_64: { compiler: 'gcc', triplet: 'x86_64-linux-gnu' },
  arm64: { compiler: 'aarch64-linux-gnu-gcc', triplet: 'aarch64-linux-gnu' },
} as const;

/** One of {@link ABI_TARGETS}. */
export type AbiTarget = keyof typeof ABI_TARGETS;

const SECTION = '.golden_abi';

interface Question {
  /** C constant expression. */
  readonly expression: string;
  answer(abi: MutableAbi, value: number): void;
}

interface MutableAbi {
  structs: Record<string, { size: number; offsets: Record<string, number> }>;
  constants: Record<string, number>;
}

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}

function structQuestions(group: AbiGroup): Question[] {
  return Object.entries(group.structs).flatMap(([name, [, fields]], index) => {
    const type = `golden_${index}`;
    return [
      {
        expression: `sizeof(${type})`,
        answer: (abi: MutableAbi, size: number) => {
          abi.structs[name] = { size, offsets: {} };
        },
      },
      ...words(fields).map((field) => {
        const [key = '', designator = key] = field.split('=');
        return {
          expression: `offsetof(${type}, ${designator})`,
          answer: (abi: MutableAbi, offset: number) => {
            const struct = abi.structs[name];
            if (struct) struct.offsets[key] = offset;
          },
        };
      }),
    ];
  });
}

function questions(group: AbiGroup): Question[] {
  const constants = words(group.constants).map((name) => ({
    expression: name,
    answer: (abi: MutableAbi, value: number) => {
      abi.constants[name] = value;
    },
  }));
  return [...structQuestions(group), ...constants];
}

/**
 * The C file of a group: an array of all answers. The compiler evaluates it, nothing is run, so a
 * cross compiler serves as well as a native one.
 */
export function abiSource(group: AbiGroup): string {
  const types = Object.values(group.structs).map(
    ([definition], index) => `typedef ${definition} golden_${index};`,
  );
  return [
    `/* ${group.origin} */`,
    '#define _GNU_SOURCE',
    '#include <stddef.h>',
    ...group.prologue,
    ...types,
    `__attribute__((section("${SECTION}"), used))`,
    'const long long golden_answers[] = {',
    ...questions(group).map(({ expression }) => `  (long long)(${expression}),`),
    '};',
    '',
  ].join('\n');
}

/** Series of Xen whose headers are asked. */
export const ABI_SERIES: readonly string[] = Object.keys(ABI_HEADERS);

function headersOf(series: string): Artefact {
  const headers = ABI_HEADERS[series];
  if (headers !== undefined) return headers;
  throw new BoxError('BAD_OPTION', `Cannot use headers of Xen ${series}: there is no such series`);
}

/** Why {@link goldenAbi} cannot work here, or undefined when it can. */
export function goldenAbiSkipReason(series: string, target: AbiTarget): string | undefined {
  const { compiler } = ABI_TARGETS[target];
  if (!isBuilt(headersOf(series))) return 'missing: headers; run `npm run box:setup`';
  if (!hasProgram(compiler)) return `no ${compiler}`;
  return undefined;
}

/**
 * Asks the compiler for sizes, offsets and constants of everything in {@link ABI}, from the headers
 * of one Xen, the box's Linux and the C library of this machine.
 *
 * @throws {BoxError} `MISSING_ARTEFACT` see {@link goldenAbiSkipReason}; `BUILD_FAILED`
 */
export async function goldenAbi(series: string, target: AbiTarget): Promise<GoldenAbi> {
  const reason = goldenAbiSkipReason(series, target);
  if (reason)
    throw new BoxError(
      'MISSING_ARTEFACT',
      `Cannot compile the ABI of Xen ${series} on ${target}: ${reason}`,
    );
  const { compiler, triplet } = ABI_TARGETS[target];
  const prefix = compiler.replace(/gcc$/, '');
  const headers = artefactFile(headersOf(series), 'include');
  const work = mkdtempSync(join(tmpdir(), 'golden-abi-'));
  const abi: MutableAbi = { structs: {}, constants: {} };
  try {
    // What privcmd.h includes under its name in the kernel's tree.
    writeShim(join(work, 'xen/interface/xen.h'), '#include <xen/xen.h>\n');
    for (const group of ABI) {
      if (group.target !== undefined && group.target !== target) continue;
      const path = join(work, group.name);
      writeFileSync(`${path}.c`, abiSource(group));
      const options = { log: join(work, 'log') };
      const includes = [work, headers, join(headers, triplet)].flatMap((name) => [
        '-isystem',
        name,
      ]);
      await run([compiler, '-c', ...includes, '-o', `${path}.o`, `${path}.c`], options);
      await run(
        [`${prefix}objcopy`, '-O', 'binary', '-j', SECTION, `${path}.o`, `${path}.bin`],
        options,
      );
      const answers = readFileSync(`${path}.bin`);
      for (const [index, question] of questions(group).entries()) {
        question.answer(abi, Number(answers.readBigInt64LE(index * 8)));
      }
    }
    return abi;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function writeShim(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
