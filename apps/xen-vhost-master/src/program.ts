import type { Main } from '@node-vmm/vhost-device-cli';
import { parseArguments } from './args.ts';

/** What `xen-vhost-master` does. */
export const main: Main = async (argv, program) => {
  const [command, ...words] = argv;
  // From here on what is wrong is wrong about that command's options.
  if (command === 'status' || command === 'kvm') program.command = `${program.name} ${command}`;
  if (command === 'status') {
    const { showStatus } = await import('@node-vmm/vhost-device-cli/status');
    const { STATUS_COMMAND } = await import('./status-command.ts');
    return showStatus(words, program, STATUS_COMMAND);
  }
  if (command === 'kvm') {
    const { kvmMain } = await import('./kvm-command.ts');
    return kvmMain(words, program);
  }
  const parsed = await parseArguments(argv);
  if ('print' in parsed) return program.print(parsed.print);
  // Here and not above: who asks for a version waits for no native code.
  const { serve } = await import('./serve.ts');
  return serve(parsed.run, program);
};
