import type { LoggerOptions, ProgramLogger } from './program-logger.ts';

/**
 * Makes the logger of a program, on standard error: lines of JSON, or readable ones on a terminal.
 * Whatever happens to standard error, no call waits or throws. Lines that guests can provoke without
 * end are limited: see `RateLimitedLogger`.
 */
export async function createLogger(options: LoggerOptions): Promise<ProgramLogger> {
  // Here and not above: who asks for a version needs no logger.
  const { makeProgramLogger } = await import('./program-logger.ts');
  return makeProgramLogger(options);
}
