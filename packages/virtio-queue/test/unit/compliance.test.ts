import { splitSubject, virtqueueComplianceCases } from '@node-vmm/virtio-queue/testing';
import { describe, expect, it } from 'vitest';

describe.each([['split', splitSubject]] as const)(
  'the %s Virtqueue keeps the rules',
  (_, subject) => {
    it.each([...virtqueueComplianceCases])('$section: $name', ({ run }) => run(subject));
  },
);

it('the suite has cases for every part of Virtqueue', () => {
  const sections = new Set(virtqueueComplianceCases.map(({ section }) => section));
  expect([...sections].sort()).toEqual([
    'broken',
    'chains',
    'disposal',
    'notifications',
    'parked',
    'popBatch',
    'position',
    'relocate',
  ]);
});
