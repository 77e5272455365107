import { describe, expect, it } from 'vitest';
import { checkSockets, socketOf } from '../../src/sockets.ts';

describe('checkSockets', () => {
  it('takes a path of 107 bytes, number included, and none longer', () => {
    const check = (bytes: number, socketCount: number): void =>
      checkSockets({ socketPath: `/${'x'.repeat(bytes - 1)}`, socketCount });
    expect(() => check(106, 10)).not.toThrow();
    expect(() => check(106, 11)).toThrow(expect.objectContaining({ code: 'USAGE' }));
    expect(() => check(107, 1)).toThrow('must have 1 to 107 bytes');
  });

  it('refuses a directory that is not there', () => {
    const socketPath = '/no-such-directory/x';
    expect(() => checkSockets({ socketPath, socketCount: 1 })).toThrow(
      expect.objectContaining({ code: 'BAD_DIRECTORY' }),
    );
  });
});

describe('socketOf', () => {
  const options = { socketPath: '/run/x', socketCount: 2, workers: 1, logLevel: 'info' } as const;

  it('numbers the sockets', () => {
    expect(socketOf(options, 1)).toEqual({ socketPath: '/run/x1' });
  });

  it('passes on who may use them, all-zero permissions and group 0 too', () => {
    expect(socketOf({ ...options, socketMode: 0, socketGroup: 0 }, 0)).toEqual({
      socketPath: '/run/x0',
      socketMode: 0,
      socketGroup: 0,
    });
  });
});
