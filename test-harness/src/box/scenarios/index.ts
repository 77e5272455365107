import type { Scenario } from './scenario.ts';
import { shell } from './shell.ts';
import { smoke } from './smoke.ts';

export type { Scenario, ScenarioContext } from './scenario.ts';

/** All scenarios, in the order in which they are listed. */
export const SCENARIOS: readonly Scenario[] = [smoke, shell];
