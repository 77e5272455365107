import { foreignBench } from './foreign-bench.ts';
import { hvmloader } from './hvmloader.ts';
import { i2c } from './i2c.ts';
import { i2cBench } from './i2c-bench.ts';
import type { Scenario } from './scenario.ts';
import { shell } from './shell.ts';
import { smoke } from './smoke.ts';

export type { Scenario, ScenarioContext } from './scenario.ts';

/** All scenarios, in the order in which they are listed. */
export const SCENARIOS: readonly Scenario[] = [
  i2c,
  hvmloader,
  i2cBench,
  foreignBench,
  smoke,
  shell,
];
