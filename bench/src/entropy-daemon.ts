// Our daemon as a process of its own: node entropy-daemon.js <socket>
import { deviceModule, VhostUserDaemon } from '@node-vmm/vhost-user-backend';

const socketPath = process.argv[2];
if (socketPath === undefined) throw new TypeError('Cannot start: give a socket path');
const daemon = new VhostUserDaemon();
await daemon.addDevice({
  name: 'entropy',
  module: deviceModule('./entropy-device.js', import.meta.url),
  socketPath,
});
process.once('SIGTERM', () => void daemon.close());
void daemon.failure.then((error) => {
  if (error === undefined) return;
  console.error(error);
  process.exitCode = 1;
  void daemon.close();
});
