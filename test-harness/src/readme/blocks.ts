import { basename, dirname } from 'node:path';

/** A fenced block of code in a Markdown file. */
export interface CodeBlock {
  /** The Markdown file, from the root of the workspace. */
  readonly file: string;
  /** Of its first line of code, from 1. */
  readonly line: number;
  /** `js`, `ts`, `sh` and `yaml` are checked, others and none are text. */
  readonly language: string;
  readonly code: string;
  /** The file that it is, where its first line is a comment with just a name: `// main.js`. */
  readonly name: string | undefined;
  /** Whether it is run by itself. */
  readonly run: boolean;
  /** Why a program is not run, where it says so. */
  readonly reason: string | undefined;
}

/** Where problems and tests say that a block is. */
export const placeOf = ({ file, line }: CodeBlock): string => `${file}:${line}`;

const FENCE = /^( {0,3})```(.*)\n([\s\S]*?)^\1```$/gm;
const MARKER = /^(\w*)(?: (?:(run)|no-run: (.+)))?$/;
const NAME = /^(?:#!.*\n)?\/\/ ([\w-]+\.[cm]?[jt]s)\n/;
const PROGRAMS = ['js', 'ts'];
/** Other names of what is checked, under which it would not be. */
const ALIASES = /^(mjs|javascript|mts|typescript|bash|shell|console|yml)$/;

/**
 * The blocks of a Markdown file. A program (`js`, `ts`) is run unless its fence says `no-run: <reason>` or
 * it is a file that others import; shell commands (`sh`) are run where the fence says `run`.
 *
 * @throws {Error} for a fence that says something else, or the language by another name
 */
export function codeBlocks(file: string, text: string): CodeBlock[] {
  return [...text.matchAll(FENCE)].map(({ index, 2: info = '', 3: code = '' }) => {
    const line = text.slice(0, index).split('\n').length + 1;
    const [known, language = '', run, reason] = MARKER.exec(info.trim()) ?? [];
    if (known === undefined || ALIASES.test(language)) {
      throw new Error(
        `Cannot read ${file}:${line - 1}: \`${info}\` is not js, ts, sh, yaml or text, with a marker`,
      );
    }
    const program = PROGRAMS.includes(language);
    const name = program ? NAME.exec(code)?.[1] : undefined;
    const runs = program ? reason === undefined && name === undefined : run !== undefined;
    return { file, line, language, code, name, run: runs, reason };
  });
}

/** Where a program is put: in a folder for each README. */
export function programPath({ file, line, language, name }: CodeBlock): string {
  const folder = dirname(file) === '.' ? basename(file, '.md') : dirname(file);
  return `${folder}/${name ?? `line-${line}.${language === 'ts' ? 'mts' : 'mjs'}`}`;
}

/**
 * What the block says that it prints: the comment behind a `console.log`, or behind a command.
 */
export function promisedLines({ code, language }: CodeBlock): string[] {
  const promise = language === 'sh' ? /^[^#\n]+ # (.+)$/gm : /console\.log\(.*\); \/\/ (.+)$/gm;
  return [...code.matchAll(promise)].map(([, text = '']) => text);
}

/** Whether one of the lines is what was promised, which may go on with an explanation. */
export function keepsPromise(output: string, promise: string): boolean {
  const lines = output.split('\n').map((line) => line.trim());
  return lines.some((line) => line !== '' && (promise.startsWith(line) || line === promise));
}
