import { afterEach, beforeEach, describe, it } from 'vitest';
import { asDomId, type XenHost } from '../../src/index.ts';
import { FakeXen, type FakeXenOptions, xenComplianceCases } from '../../src/testing/index.ts';

const arches: readonly NonNullable<FakeXenOptions['arch']>[] = ['arm64', 'x86_64'];

describe.each(arches)('compliance of the fake drivers, %s', (arch) => {
  let fake: FakeXen;
  let xen: XenHost;

  beforeEach(() => {
    fake = new FakeXen({ arch });
    fake.addDomain(1, { vcpus: 2 });
    xen = fake.host();
  });
  afterEach(() => fake.close());

  it.each(xenComplianceCases)('$section: $name', async (rule) => {
    const domain = fake.domains.get(asDomId(1));
    await rule.run({
      xen,
      arch,
      domid: asDomId(1),
      missingDomid: asDomId(77),
      ram: { first: 0x40000n, count: 4 },
      hole: 0x10n,
      mmio: 0x200_0000n,
      irq: arch === 'arm64' ? 43 : 5,
      write: async (address, value) => {
        await domain?.access({ address, size: 4, value: BigInt(value) }).completed;
      },
      read: async (address, size) => (await domain?.access({ address, size }).completed) ?? 0n,
    });
  });
});
