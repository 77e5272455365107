import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type GuestRing, negotiate } from '../../src/testing/index.ts';
import { Bench, ECHO } from '../bench.ts';
import { FakeDomain, mapperOf } from '../support/fake-domain.ts';

const PROTOCOL = (1n << 3n) | (1n << 17n);

describe('Memory of a Xen domain', () => {
  let domain: FakeDomain;
  let bench: Bench;

  beforeEach(() => {
    domain = new FakeDomain(7);
    bench = new Bench({ mapForeign: mapperOf(domain), workers: 2 });
  });
  afterEach(async () => {
    await bench.close();
    domain.close();
  });

  async function connect(): Promise<{ frontEnd: ReturnType<Bench['connect']>; ring: GuestRing }> {
    const device = await bench.addDevice();
    const frontEnd = bench.connect(device);
    frontEnd.connection.codec.options.xenMmap = true;
    await negotiate(
      frontEnd,
      { regions: domain.regions(), fds: domain.fds },
      { protocolFeatures: PROTOCOL },
    );
    const { GuestRing } = await import('../../src/testing/index.ts');
    const ring = new GuestRing(domain.guest);
    ring.setUp(frontEnd);
    expect(await ring.enable(frontEnd)).toBe(0);
    return { frontEnd, ring };
  }

  it('is mapped when it is needed, and serves', async () => {
    const { frontEnd, ring } = await connect();
    ring.submit([1, 2, 3]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([3]);
    console.log(domain.asked, [...domain.live]);
    ring.close();
  });
});
