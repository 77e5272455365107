import { commandCases } from './compliance/commands.ts';
import { configSpaceCases } from './compliance/config-space.ts';
import { connectionCases } from './compliance/connections.ts';
import { featureCases } from './compliance/features.ts';
import { hostileRingCases } from './compliance/hostile-rings.ts';
import { memoryCases } from './compliance/memory.ts';
import { messageCases } from './compliance/messages.ts';
import { programCases } from './compliance/programs.ts';
import { ringCases } from './compliance/rings.ts';
import type { DeviceCase, ProgramCase } from './compliance/subject.ts';

export type {
  DeviceCase,
  DeviceProfile,
  DeviceSubject,
  ProbeRequest,
  ProgramCase,
  ProgramSubject,
} from './compliance/subject.ts';

/**
 * What every vhost-user device does, whatever its type and whoever serves it, as data for any test
 * runner. A case that waits for what never comes does not end: give each a time limit.
 */
export const deviceComplianceCases: readonly DeviceCase[] = [
  ...featureCases,
  ...configSpaceCases,
  ...ringCases,
  ...connectionCases,
  ...memoryCases,
  ...messageCases,
  ...hostileRingCases,
  ...commandCases,
];

/** What every program of a daemon does that is made with vhost-device-cli, likewise. */
export const programComplianceCases: readonly ProgramCase[] = programCases;
