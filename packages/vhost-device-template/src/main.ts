#!/usr/bin/env node
// Nothing but vhost-device-cli is loaded before the signals are in place: until then SIGUSR1 would open
// a debugger's port.
import { runDaemon, runProgram } from '@node-vmm/vhost-device-cli';

await runProgram('vhost-device-template', async () => async (argv, program) => {
  const { parseOptions } = await import('./options.ts');
  const parsed = parseOptions(argv);
  if ('print' in parsed) return program.print(parsed.print);
  const { run } = parsed;
  const { deviceModule } = await import('@node-vmm/vhost-user-backend');
  return runDaemon(program, {
    options: run,
    device: 'template',
    supervisable: true,
    module: deviceModule('./device.js', import.meta.url),
    // Looks at the host, if the device has a host side, and says here what is missing.
    deviceOptions: () => ({ maxBytes: run.maxBytes }),
  });
});
