import { EIO, MainPoller } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Port } from '../../src/index.ts';
import { asDomId, type EventChannelOps, EventChannels, XenSysError } from '../../src/index.ts';
import { type FakeEvtchn, FakeXen, type PeerPort } from '../../src/testing/index.ts';

describe('EventChannels', () => {
  let fake: FakeXen;
  let events: EventChannelOps;
  let device: FakeEvtchn;

  beforeEach(() => {
    fake = new FakeXen();
    fake.addDomain(1);
    events = fake.host().openEventChannels();
    device = fake.eventDevices[0] as FakeEvtchn;
  });
  afterEach(() => fake.close());

  const bind = (): { port: Port; peer: PeerPort } => {
    const peer = fake.ports.offer(asDomId(1));
    const port = events.bindInterdomain(asDomId(1), peer.number);
    drain();
    return { port, peer };
  };
  const drain = (): Port[] => {
    const ports: Port[] = [];
    while (events.pending((port) => ports.push(port)) > 0);
    for (const port of ports) events.unmask(port);
    return ports;
  };

  it('reports a port once until it is unmasked, and what came meanwhile afterwards', () => {
    const { port, peer } = bind();
    const seen: Port[] = [];
    peer.signal();
    peer.signal();
    expect(events.pending((p) => seen.push(p))).toBe(1);
    expect(events.pending((p) => seen.push(p))).toBe(0);
    events.unmask(port);
    events.pending((p) => seen.push(p));
    expect(seen).toEqual([port, port]);
  });

  it('makes its descriptor readable', async () => {
    const { peer } = bind();
    using poller = new MainPoller();
    const reported = new Promise<number>((resolve) => {
      poller.watch(events.fd, { readable: true }, () => resolve(events.pending(() => undefined)));
    });
    peer.signal();
    expect(await reported).toBe(1);
  });

  it('takes every port for pending after the ring overflowed, and goes on', () => {
    const a = bind();
    const b = bind();
    device.overflow();
    a.peer.signal();
    expect(drain().sort()).toEqual([a.port, b.port].sort());
    b.peer.signal();
    expect(drain()).toEqual([b.port]);
  });

  it('calls back for all ports even when one callback throws', () => {
    const a = bind();
    const b = bind();
    a.peer.signal();
    b.peer.signal();
    const seen: Port[] = [];
    const dispatch = (): number =>
      events.pending((port) => {
        seen.push(port);
        throw new Error(`callback of ${port}`);
      });
    expect(dispatch).toThrow(`callback of ${a.port}`);
    expect(seen).toEqual([a.port, b.port]);
  });

  it('skips ports unbound, and stops when closed, by a callback', () => {
    const a = bind();
    const b = bind();
    const c = bind();
    for (const { peer } of [a, b, c]) peer.signal();
    const seen: Port[] = [];
    events.pending((port) => {
      seen.push(port);
      if (port === a.port) events.unbind(b.port);
      if (port === c.port) events.close();
    });
    expect(seen).toEqual([a.port, c.port]);
    expect(() => events.notify(a.port)).toThrow(XenSysError);
    events.close();
  });

  it('gives ports back on close, and a nested dispatch leaves the outer one alone', () => {
    const { peer } = bind();
    peer.signal();
    let nested = -1;
    events.pending(() => {
      nested = events.pending(() => undefined);
    });
    expect(nested).toBe(0);
    events.close();
    expect(peer.bound).toBe(false);
  });

  it('binds only to the domain that it is restricted to', () => {
    fake.addDomain(2);
    events.restrict(asDomId(2));
    expect(() => bind()).toThrow(/NOT_PERMITTED|EACCES/);
    const peer = fake.ports.offer(asDomId(2));
    events.bindInterdomain(asDomId(2), peer.number);
  });

  it('allocates ports for other domains to bind, and passes other read errors on', () => {
    const port = events.bindUnbound(asDomId(1));
    expect(port).toBeGreaterThan(0);
    fake.failNext('read', EIO);
    expect(() => events.pending(() => undefined)).toThrow('Cannot read pending ports: EIO');
  });

  it('says what to do when there is no device', () => {
    expect(() => EventChannels.open('/dev/does-not-exist')).toThrow(/CONFIG_XEN_DEV_EVTCHN/);
  });
});
