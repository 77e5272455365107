// Serves a shuffling device: built framework, socket path, and whether the device loses its state.
import process from 'node:process';

const [, , framework, socketPath, losesState] = process.argv;
const { VhostUserDaemon } = await import(framework);
const daemon = new VhostUserDaemon();
const module = new URL('shuffle-device.mjs', import.meta.url);
const options = { losesState: losesState === 'true' };
await daemon.addDevice({ name: 'shuffle', module, options, socketPath });
