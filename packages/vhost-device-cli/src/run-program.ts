import { errorCode } from '@node-vmm/vmm-sys-util/errors';
import { EXIT_FAILURE, EXIT_USAGE } from './exit-codes.ts';
import { Program } from './program.ts';
import { Signals } from './signals.ts';
import { replaceStandardStreams } from './standard-streams.ts';

/**
 * What a program does.
 *
 * @param argv - without interpreter and script
 * @returns the exit code
 * @throws an error with `code` USAGE or BAD_CONFIG for what the user got wrong; any other is a failure
 */
export type Main = (argv: readonly string[], program: Program) => Promise<number>;

/**
 * Runs a program, in the module that Node starts: signals first, then the rest is loaded. Errors end
 * as one line on standard error and an exit code.
 *
 * @param name - as the user calls it
 * @param load - imports what the program needs: `async () => (await import('./program.ts')).main`
 */
export async function runProgram(name: string, load: () => Promise<Main>): Promise<void> {
  const signals = Signals.install();
  const program = new Program(name, signals);
  replaceStandardStreams((fd, text) => program.say(text, fd));
  signals.closeDebugger();
  process.on('uncaughtException', (error) => {
    program.complainOf(error);
    void program.endNow(EXIT_FAILURE);
  });
  try {
    const main = await load();
    process.exitCode = await main(process.argv.slice(2), program);
  } catch (error) {
    process.exitCode = explain(program, error);
  }
}

function explain(program: Program, error: unknown): number {
  if (!(error instanceof Error)) {
    program.complainOf(error);
    return EXIT_FAILURE;
  }
  const code = errorCode(error);
  if (code === 'USAGE') {
    const text = error.message.replace(/[.\s]+$/, '');
    program.complain(`${text}; see ${program.command} --help`);
    return EXIT_USAGE;
  }
  // Errors without a code are mistakes of ours: the stack helps, the text alone does not.
  if (code === undefined) program.complainOf(error);
  else program.complain(error.message);
  return code === 'BAD_CONFIG' ? EXIT_USAGE : EXIT_FAILURE;
}
