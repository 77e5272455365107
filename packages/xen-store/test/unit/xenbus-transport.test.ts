import { readFileSync } from 'node:fs';
import { MainPoller, O_NONBLOCK, setNonBlocking, UnixStream } from '@node-vmm/vmm-sys-util';
import { expect, it } from 'vitest';
import { XenbusTransport } from '../../src/index.ts';

it('never waits for a descriptor that somebody opened to block', () => {
  const [ours, theirs] = UnixStream.pair();
  const flags = (): number => {
    const info = readFileSync(`/proc/self/fdinfo/${ours.fd}`, 'utf8');
    return Number.parseInt(/flags:\s+(\d+)/.exec(info)?.[1] ?? '', 8);
  };
  setNonBlocking(ours.fd, false);
  expect(flags() & O_NONBLOCK).toBe(0);
  const transport = new XenbusTransport(ours.fd, new MainPoller(), 'pair');
  expect(flags() & O_NONBLOCK).toBe(O_NONBLOCK);
  transport.close();
  theirs.close();
});
