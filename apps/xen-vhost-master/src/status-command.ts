import { type BridgeAnswer, statusTable } from '@node-vmm/vhost-bridge/status';
import { packageVersion } from '@node-vmm/vhost-device-cli/options';
import type { StatusCommandSpec } from '@node-vmm/vhost-device-cli/status';
import { usualControlPath } from './control-path.ts';

/** `xen-vhost-master status`, of a bridge to guests of any hypervisor. */
export const STATUS_COMMAND: StatusCommandSpec = {
  name: 'xen-vhost-master status',
  description: 'Shows what a running bridge serves.',
  version: packageVersion(new URL('../package.json', import.meta.url)),
  usual: { text: 'control in its usual --state-dir', path: usualControlPath },
  table: (answer) => statusTable(answer as unknown as BridgeAnswer),
};
