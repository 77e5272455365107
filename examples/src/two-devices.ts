// Devices of two kinds in one process, each on a socket of its own: a simulated I2C adapter and entropy.
//
//   node examples/dist/two-devices.js /tmp/i2c.sock /tmp/rng.sock
import { runDevices, runProgram } from '@node-vmm/vhost-device-cli';

await runProgram('two-devices', async () => async ([i2c, rng], program) => {
  const board = [{ chip: '24c02', address: 0x50 }];
  return runDevices(program, {
    options: { workers: 2, logLevel: 'warn' },
    devices: [
      {
        name: 'i2c',
        module: new URL(import.meta.resolve('@node-vmm/vhost-device-i2c')),
        options: { hosts: [{ kind: 'simulated', board, addresses: [0x50] }] },
        socketPath: i2c ?? '/tmp/i2c.sock',
      },
      {
        name: 'rng',
        module: new URL(import.meta.resolve('@node-vmm/vhost-device-template')),
        options: { maxBytes: 65_536 },
        socketPath: rng ?? '/tmp/rng.sock',
      },
    ],
  });
});
