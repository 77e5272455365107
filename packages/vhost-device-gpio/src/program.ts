import { type Main, runDaemon } from '@node-vmm/vhost-device-cli';
import { parseOptions } from './options.ts';

/** What `vhost-device-gpio` does. */
export const main: Main = async (argv, program) => {
  const parsed = parseOptions(argv);
  if ('print' in parsed) return program.print(parsed.print);
  const { run } = parsed;
  const { deviceModule } = await import('@node-vmm/vhost-user-backend');
  const { findHosts } = await import('./hosts.ts');
  let hosts: ReturnType<typeof findHosts> | undefined;
  return runDaemon(program, {
    options: run,
    device: 'gpio',
    stateful: true,
    module: deviceModule('./device.js', import.meta.url),
    deviceOptions: (index) => {
      hosts ??= findHosts(run);
      return { host: hosts[index] };
    },
  });
};
