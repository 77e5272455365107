// Serves a shuffling device: socket path, and whether it loses its state.
import process from 'node:process';
import { VhostUserDaemon } from '@node-vmm/vhost-user-backend';

const [, , socketPath, losesState] = process.argv;
const daemon = new VhostUserDaemon();
const module = new URL('shuffle-device.mjs', import.meta.url);
const options = { losesState: losesState === 'true' };
await daemon.addDevice({ name: 'shuffle', module, options, socketPath });
