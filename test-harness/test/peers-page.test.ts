import { readFileSync } from 'node:fs';
import { deviceComplianceCases } from '@node-vmm/vhost-user-backend/testing';
import { expect, it } from 'vitest';

// The daemons themselves run in test/box/peers.test.ts, which takes long: a new case must not wait for that.
it('docs/peers.md has a line for every case of the suite, in its order', () => {
  const page = readFileSync(new URL('../../docs/peers.md', import.meta.url), 'utf8');
  const told = [...page.matchAll(/^\| (.*?) +\| (?:passes|sometimes|fails) /gm)].map(
    ([, name]) => name,
  );
  expect(told, 'see test/box/peers.test.ts').toEqual(
    deviceComplianceCases.map(({ section, name }) => `${section}: ${name}`),
  );
});
