import { describe, expect, it } from 'vitest';
import {
  forgetServiceManager,
  notifyOptions,
  passedSockets,
} from '../../src/service-environment.ts';

const PID = 1234;

describe('what a service manager says', () => {
  it.each([
    ['nothing', {}],
    ['sockets for another process', { LISTEN_PID: '1', LISTEN_FDS: '2' }],
    ['sockets for nobody', { LISTEN_FDS: '2' }],
    ['no sockets', { LISTEN_PID: '1234', LISTEN_FDS: '0' }],
  ])('is %s', (_name, env) => {
    expect(passedSockets(env, PID)).toEqual([]);
  });

  it('is sockets from descriptor 3 on, with names where they have some', () => {
    const env = { LISTEN_PID: '1234', LISTEN_FDS: '3', LISTEN_FDNAMES: 'i2c:unknown' };
    expect(passedSockets(env, PID)).toEqual([
      { fd: 3, name: 'i2c' },
      { fd: 4, name: 'descriptor 4' },
      { fd: 5, name: 'descriptor 5' },
    ]);
  });

  it.each(['x', '-1', '', '1e3', '99999999999'])('is no number: "%s"', (LISTEN_FDS) => {
    expect(() => passedSockets({ LISTEN_PID: '1234', LISTEN_FDS }, PID)).toThrow(
      expect.objectContaining({ code: 'BAD_ENVIRONMENT' }),
    );
  });

  it('is how often it wants to hear, of this process', () => {
    const socket = '/run/notify';
    const told = { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '3000000' };
    expect(notifyOptions({}, PID)).toEqual({ socket: undefined, watchdogMs: undefined });
    expect(notifyOptions(told, PID)).toEqual({ socket, watchdogMs: 3000 });
    expect(notifyOptions({ ...told, WATCHDOG_PID: '1234' }, PID).watchdogMs).toBe(3000);
    for (const env of [
      { ...told, WATCHDOG_PID: '1' },
      { ...told, WATCHDOG_USEC: '0' },
      { ...told, WATCHDOG_USEC: 'soon' },
    ]) {
      expect(notifyOptions(env, PID)).toEqual({ socket, watchdogMs: undefined });
    }
    expect(notifyOptions({ NOTIFY_SOCKET: '' }, PID).socket).toBeUndefined();
  });

  it('is for no child', () => {
    const env: NodeJS.ProcessEnv = {
      ...{ LISTEN_PID: '1', LISTEN_FDS: '1', LISTEN_FDNAMES: 'x', LISTEN_PIDFDID: '7' },
      ...{ NOTIFY_SOCKET: '/x', WATCHDOG_PID: '1', WATCHDOG_USEC: '1', HOME: '/root' },
    };
    forgetServiceManager(env);
    expect(env).toEqual({ HOME: '/root' });
  });
});
