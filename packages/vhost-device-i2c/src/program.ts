import { type Main, runDaemon } from '@node-vmm/vhost-device-cli';
import { parseArgs } from './args.ts';

/** What `vhost-device-i2c` does. */
export const main: Main = async (argv, program) => {
  const parsed = await parseArgs(argv);
  if ('print' in parsed) return program.print(parsed.print);
  const { deviceModule } = await import('@node-vmm/vhost-user-backend');
  const { findHosts } = await import('./hosts.ts');
  return runDaemon(program, {
    options: parsed.run,
    device: 'i2c',
    queueCount: 1,
    supervisable: true,
    module: deviceModule('./device.js', import.meta.url),
    deviceOptions: () => ({
      hosts: findHosts(parsed.run),
      splitGroups: parsed.run.splitGroups,
      allowNoZeroLength: parsed.run.allowNoZeroLength,
    }),
  });
};
