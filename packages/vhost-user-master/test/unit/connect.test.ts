import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VhostUserError } from '@node-vmm/vhost-user';
import { MainPoller, SysError, UnixListener } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  shouldReconnect,
  VhostUserFrontend,
  VhostUserMasterError,
  type VhostUserMasterErrorCode,
} from '../../src/index.ts';
import { FakeBackend } from '../../src/testing/index.ts';
import { until } from '../support/event-loop.ts';

const code = (text: string): unknown => expect.objectContaining({ code: text });

describe('VhostUserFrontend.connect', () => {
  let directory: string;
  let path: string;
  let poller: MainPoller;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'vhost-user-'));
    path = join(directory, 'vhost.sock');
    poller = new MainPoller();
  });

  afterEach(() => {
    poller.close();
    rmSync(directory, { recursive: true });
  });

  it('says at once that nobody listens', async () => {
    await expect(VhostUserFrontend.connect({ path, poller })).rejects.toThrow(code('ENOENT'));
    UnixListener.bind(path).close();
    writeFileSync(path, '');
    await expect(VhostUserFrontend.connect({ path, poller })).rejects.toThrow(code('ECONNREFUSED'));
  });

  it('waits for a socket only as long as told', async () => {
    await expect(VhostUserFrontend.connect({ path, poller, waitMs: 50 })).rejects.toThrow(
      code('ENOENT'),
    );
  });

  it('connects once somebody listens', async () => {
    const connecting = VhostUserFrontend.connect({ path, poller, waitMs: 60_000 });
    await new Promise((resolve) => setTimeout(resolve, 40));
    const listener = UnixListener.bind(path);
    const front = await connecting;
    const stream = listener.accept();
    if (stream === undefined) throw new Error('nobody connected');
    const back = new FakeBackend(stream, poller, 1n);
    await front.negotiate();
    expect(front.queueCount).toBe(2);
    front.close();
    await until(() => back.closed === 1);
    listener.close();
  });

  it('can be aborted, before and while waiting', async () => {
    const signal = AbortSignal.abort();
    await expect(VhostUserFrontend.connect({ path, poller, signal })).rejects.toThrow(
      code('ABORTED'),
    );
    const controller = new AbortController();
    const options = { path, poller, waitMs: 60_000, signal: controller.signal };
    const connecting = VhostUserFrontend.connect(options);
    setTimeout(() => controller.abort(), 5);
    await expect(connecting).rejects.toThrow(code('ABORTED'));
  });

  it('does not hang on a back-end that accepts and stays silent', async () => {
    const listener = UnixListener.bind(path);
    const front = await VhostUserFrontend.connect({ path, poller, timeoutMs: 30 });
    await expect(front.negotiate()).rejects.toThrow(code('TIMEOUT'));
    front.close();
    listener.close();
  });

  it('does not hang on a full backlog', async () => {
    const listener = UnixListener.bind(path, { backlog: 0 });
    const fronts: VhostUserFrontend[] = [];
    const fill = async (): Promise<void> => {
      for (let i = 0; i < 8; i++) fronts.push(await VhostUserFrontend.connect({ path, poller }));
    };
    await expect(fill()).rejects.toThrow(code('EAGAIN'));
    for (const front of fronts) front.close();
    listener.close();
  });
});

describe('shouldReconnect', () => {
  const master = (text: VhostUserMasterErrorCode, reason?: 'peer-closed' | 'protocol-error') =>
    new VhostUserMasterError(text, text, reason === undefined ? {} : { reason });
  const cases: [unknown, boolean][] = [
    [new SysError({ syscall: 'connect', errno: 2 }), true],
    [new SysError({ syscall: 'connect', errno: 111 }), true],
    [new SysError({ syscall: 'connect', errno: 11 }), true],
    [new SysError({ syscall: 'connect', errno: 13 }), false],
    [new VhostUserError('PEER_CLOSED', ''), true],
    [new VhostUserError('INVALID_PAYLOAD', ''), false],
    [master('TIMEOUT'), true],
    [master('CONNECTION_LOST'), true],
    [master('CONNECTION_LOST', 'peer-closed'), true],
    [master('CONNECTION_LOST', 'protocol-error'), false],
    [master('ABORTED'), false],
    [master('CLOSED'), false],
    [master('REQUEST_FAILED'), false],
    [master('WRONG_REPLY'), false],
    [master('NOT_NEGOTIATED'), false],
    [master('TOO_MANY_REGIONS'), false],
    [master('XEN_MMAP_MISSING'), false],
    [master('TOO_MANY_REQUESTS'), false],
    [new TypeError(), false],
    [undefined, false],
  ];
  it.each(cases)('%s: %s', (error, expected) => {
    expect(shouldReconnect(error)).toBe(expected);
  });
});
