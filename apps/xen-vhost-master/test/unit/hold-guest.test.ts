import { MemoryLogger } from '@node-vmm/vhost-bridge/testing';
import { type DomId, XenSysError } from '@node-vmm/xen-sys';
import { describe, expect, it } from 'vitest';
import { guestHolder } from '../../src/hold-guest.ts';

const said = (logger: MemoryLogger) => logger.lines.map(({ level, message }) => [level, message]);

describe('guestHolder', () => {
  it('pauses a guest until it is let go', () => {
    const paused: DomId[] = [];
    const pause = (domid: DomId) => {
      paused.push(domid);
      const release = (): void => void paused.splice(paused.indexOf(domid), 1);
      return { release, [Symbol.dispose]: release };
    };
    const logger = new MemoryLogger();
    const letGo = guestHolder({ pause }, logger)(7);
    expect(paused).toEqual([7]);
    letGo?.();
    expect(paused).toEqual([]);
    expect(logger.lines).toEqual([]);
  });

  it('warns of a guest that it may not pause, and says what helps', () => {
    const logger = new MemoryLogger();
    const pause = () => {
      throw new XenSysError('NOT_PERMITTED', 'Cannot pause domain 7: EPERM');
    };
    expect(guestHolder({ pause }, logger)(7)).toBeUndefined();
    expect(said(logger)).toEqual([
      ['warn', expect.stringMatching(/^guest not held: .*xl create -p/)],
    ]);
    expect(logger.lines[0]?.context).toEqual({ domid: 7, reason: 'Cannot pause domain 7: EPERM' });
  });

  it('does not warn of a guest that is not there', () => {
    const logger = new MemoryLogger();
    const pause = () => {
      throw new XenSysError('NO_SUCH_DOMAIN', 'Cannot pause domain 7: ESRCH');
    };
    expect(guestHolder({ pause }, logger)(7)).toBeUndefined();
    expect(said(logger)).toEqual([['debug', 'guest not held']]);
  });
});
