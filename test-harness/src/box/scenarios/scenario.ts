import type { Bed, BedFeature } from '../bed.ts';

/** What a scenario works with. */
export interface ScenarioContext {
  /** Where it runs. */
  readonly bed: Bed;
  /** Tells the user what happens, with the time since the start. */
  say(text: string): void;
}

/** Something to do in the box, started by `npm run box -- <name>`. */
export interface Scenario {
  readonly name: string;
  /** One line for the list of scenarios. */
  readonly description: string;
  /** What a bed must have for it; default nothing. */
  readonly needs?: readonly BedFeature[];
  /** Rejects when it does not work. */
  run(context: ScenarioContext): Promise<void>;
}
