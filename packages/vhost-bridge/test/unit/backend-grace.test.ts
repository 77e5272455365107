import { MainPoller, UnixListener } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Bridge } from '../../src/bridge.ts';
import type { SocketProvider } from '../../src/socket-provider.ts';
import { MemoryLogger, until } from '../../src/testing/index.ts';
import { i2cDevice, Machines } from '../support/machine.ts';
import { TempDir } from '../support/temp-dir.ts';

const TIMEOUT = 120_000;
/** The last of them after more than 3 s. */
const ATTEMPTS = 6;

let dir: TempDir;
let poller: MainPoller;
let book: MemoryLogger;
let machines: Machines;
let bridge: Bridge;
let listener: UnixListener;
let attempts: number;

beforeEach(() => {
  dir = new TempDir();
  poller = new MainPoller();
  book = new MemoryLogger();
  machines = new Machines(poller);
  attempts = 0;
  listener = UnixListener.bind(dir.join('i2c.sock0'));
  // A back-end that is not there yet, but counts who asks for it.
  poller.watch(listener.fd, { readable: true }, () => {
    for (let stream = listener.accept(); stream !== undefined; stream = listener.accept()) {
      attempts++;
      stream.close();
    }
  });
});
afterEach(async () => {
  await bridge.close();
  machines.close();
  listener.close();
  poller.close();
  dir[Symbol.dispose]();
});

function makeBridge(graceMs?: number): Bridge {
  const sockets: SocketProvider = {
    lease: () => ({
      path: dir.join('i2c.sock0'),
      release: () => undefined,
      ...(graceMs === undefined ? {} : { graceMs }),
    }),
  };
  return new Bridge({
    attachVm: (guest) => {
      const vm = machines.get(guest);
      return { vm, memory: Promise.resolve(vm.memory) };
    },
    sockets,
    poller,
    logger: book,
  });
}

describe('a bridge whose back-end is not there', { timeout: TIMEOUT }, () => {
  it('does not warn of it while it is being started', async () => {
    bridge = makeBridge(TIMEOUT);
    const up = expect(bridge.add(i2cDevice())).rejects.toThrow(/abort/);
    await until(() => attempts >= ATTEMPTS);
    expect(book.saying('waiting for back-end')).toEqual([]);
    await bridge.close();
    await up;
  });

  it('warns once when it has taken long enough', async () => {
    bridge = makeBridge(3000);
    const up = expect(bridge.add(i2cDevice())).rejects.toThrow(/abort/);
    await until(() => book.saying('waiting for back-end').length === 1);
    // After 50, 100, 200 and 400 ms, and then each second: more than these on any machine.
    expect(attempts).toBeGreaterThan(2);
    await bridge.close();
    await up;
  });

  it('warns at once of one that somebody else was to start', async () => {
    bridge = makeBridge();
    const up = expect(bridge.add(i2cDevice())).rejects.toThrow(/abort/);
    await until(() => book.saying('waiting for back-end').length === 1);
    await bridge.close();
    await up;
  });
});
