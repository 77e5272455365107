#!/usr/bin/env node
// Nothing but vhost-device-cli is loaded before the signals are in place: until then SIGUSR1 would open
// a debugger's port.
import { runDaemon, runProgram } from '@node-vmm/vhost-device-cli';

await runProgram('vhost-device-rng', async () => async (argv, program) => {
  const { parseOptions } = await import('./options.ts');
  const parsed = parseOptions(argv);
  if ('print' in parsed) return program.print(parsed.print);
  const { run } = parsed;
  const { deviceModule } = await import('@node-vmm/vhost-user-backend');
  const { isFile, openSource } = await import('./open-source.ts');
  const { period, maxBytes } = run;
  let source: ReturnType<typeof openSource> | undefined;
  return runDaemon(program, {
    options: run,
    device: 'rng',
    queueCount: 1,
    // A file's bytes would be given again from its beginning.
    supervisable: !isFile(run.rngSource),
    module: deviceModule('./device.js', import.meta.url),
    deviceOptions: () => {
      // Once for all guests: a file that each opened would give all of them the same bytes.
      source ??= openSource(run.rngSource);
      return { source, ...(maxBytes === undefined ? {} : { maxBytes, period }) };
    },
  });
});
