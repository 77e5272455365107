/** Of a program that is text: Node refuses a thread whose module is a file where it inherits that. */
const INPUT_TYPE = '--input-type';
/** What changes how modules are found and read. */
const OF_MODULES =
  /^(?:--(?:import|require|loader|experimental-loader|conditions|enable-source-maps|no-warnings|preserve-symlinks)|-r|-C)(?:=|$)/;
const WITHOUT_VALUE = /^--(?:enable-source-maps|no-warnings|preserve-symlinks)$/;

/**
 * Options of Node for a `Worker` whose module is a file, to be spread among its options: those of the process, which
 * Node takes where nobody names any. A program that is given as text (`node --input-type=module -e ...`) has one that
 * is none of a thread: there those that concern modules are named.
 *
 * @param execArgv - of the process
 */
export function threadOptions(execArgv: readonly string[] = process.execArgv): {
  readonly execArgv?: string[];
} {
  if (!execArgv.some((arg) => arg.startsWith(INPUT_TYPE))) return {};
  const kept: string[] = [];
  for (const [at, arg] of execArgv.entries()) {
    if (!OF_MODULES.test(arg)) continue;
    kept.push(arg);
    const value = execArgv[at + 1];
    if (!arg.includes('=') && !WITHOUT_VALUE.test(arg) && value !== undefined) kept.push(value);
  }
  return { execArgv: kept };
}
