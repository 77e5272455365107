import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { asset } from '../artefact.ts';
import { type RunOptions, run } from '../run-command.ts';

/** What the shim is made of, for an artefact's hash, too. */
export function shimSources(): Record<'shim.c' | 'shim.lds', string> {
  return { 'shim.c': asset('x86_64/shim.c'), 'shim.lds': asset('x86_64/shim.lds') };
}

/** Flags of gcc: one 32-bit program that needs neither libraries nor a relocator nor SSE. */
export const SHIM_FLAGS: readonly string[] = [
  ...['-m32', '-Os', '-std=c11', '-Wall', '-Wextra', '-Werror'],
  ...['-ffreestanding', '-nostdlib', '-static', '-fno-pie', '-no-pie', '-mgeneral-regs-only'],
  ...['-fno-stack-protector', '-fno-asynchronous-unwind-tables', '-fcf-protection=none'],
  ...['-Wl,--build-id=none', '-Wl,--no-warn-rwx-segments'],
];

/**
 * Compiles the shim.
 *
 * @param out - the ELF file to write
 * @param work - directory for the sources
 */
export async function buildShim(out: string, work: string, options: RunOptions): Promise<void> {
  const sources = shimSources();
  for (const [name, text] of Object.entries(sources)) writeFileSync(join(work, name), text);
  const [program, script] = [join(work, 'shim.c'), join(work, 'shim.lds')];
  await run(['gcc', ...SHIM_FLAGS, '-T', script, '-o', out, program], options);
}
