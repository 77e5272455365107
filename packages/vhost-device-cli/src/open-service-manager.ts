import type { Logger } from '@node-vmm/vmm-sys-util';
import type { ServiceManager } from './service-manager.ts';

/**
 * Finds the service manager that started this process, as sd_notify(3) and sd_watchdog_enabled(3) have
 * it, and takes its variables out of the environment: no child of this process is to use them.
 *
 * @returns what tells it how this process is; nothing is told to nobody
 */
export async function openServiceManager(
  logger: Logger,
  env: NodeJS.ProcessEnv = process.env,
): Promise<ServiceManager> {
  // Here and not above: who asks for a version needs none of it.
  const { ServiceManager } = await import('./service-manager.ts');
  const { forgetServiceManager, notifyOptions } = await import('./service-environment.ts');
  const options = notifyOptions(env, process.pid);
  forgetServiceManager(env);
  return new ServiceManager(options, logger);
}
