import { errorMessage } from '@node-vmm/vmm-sys-util/errors';
import { type Artefact, buildArtefact, isBuilt, isCurrent, useStandIn } from './artefact.ts';
import type { DebianArchive } from './debian-archive.ts';
import { BoxError } from './errors.ts';
import type { Progress } from './progress.ts';
import { Semaphore } from './semaphore.ts';

/**
 * What became of an artefact:
 * - `ready`: it is in the cache, by itself or by a stand-in
 * - `unavailable`: what it is made of cannot be had from here
 * - `failed`: it could be had, and was not made
 */
export interface Outcome {
  readonly state: 'ready' | 'unavailable' | 'failed';
  /** One line; empty when ready. */
  readonly reason: string;
}

const READY: Outcome = { state: 'ready', reason: '' };
/** Downloads side by side. */
const FETCHES = 4;

/** Makes artefacts in the order of their needs: downloads side by side, builds one after another. */
export class Workshop {
  readonly #debian: DebianArchive;
  readonly #progress: Progress;
  readonly #rebuild: ReadonlySet<string>;
  readonly #outcomes = new Map<Artefact, Promise<Outcome>>();
  readonly #rooms = { fetch: new Semaphore(FETCHES), build: new Semaphore(1) };

  /** @param rebuild - names of artefacts to make even if they are in the cache */
  constructor(debian: DebianArchive, progress: Progress, rebuild: readonly string[]) {
    this.#debian = debian;
    this.#progress = progress;
    this.#rebuild = new Set(rebuild);
  }

  /** Makes an artefact and what it needs, once. Never rejects. */
  make(artefact: Artefact): Promise<Outcome> {
    let outcome = this.#outcomes.get(artefact);
    if (outcome === undefined) {
      outcome = this.#make(artefact);
      this.#outcomes.set(artefact, outcome);
    }
    return outcome;
  }

  async #make(artefact: Artefact): Promise<Outcome> {
    const { title } = artefact;
    if (isCurrent(artefact) && !this.#rebuild.has(artefact.name)) {
      this.#progress.say(`${title}: cached`);
      return READY;
    }
    const skip = artefact.skipReason?.();
    if (skip !== undefined) {
      this.#progress.say(`${title}: skipped, ${skip}`);
      return { state: 'unavailable', reason: skip };
    }
    const needs = await Promise.all((artefact.needs ?? []).map((needed) => this.make(needed)));
    const unmet = needs.find(({ state }) => state !== 'ready');
    const outcome = unmet ?? (await this.#build(artefact));
    if (outcome.state === 'ready') return outcome;
    // What is made of a newer recipe or of a newer upstream version cannot be had: the last one can.
    const standIn = useStandIn(artefact);
    if (standIn === undefined || !isBuilt(artefact)) return outcome;
    this.#progress.say(`${title}: cannot be made anew, the one in ${standIn} stays in use`);
    return outcome.state === 'failed' ? outcome : READY;
  }

  #build(artefact: Artefact): Promise<Outcome> {
    return this.#rooms[artefact.kind].run(async () => {
      try {
        await this.#progress.step(artefact.title, async (status) => {
          let lines = 0;
          await buildArtefact(artefact, this.#debian, (line) => {
            lines += 1;
            status(`${lines} lines of output, last: ${line.trim().slice(0, 60)}`);
          });
        });
        return READY;
      } catch (error) {
        const message = errorMessage(error);
        this.#progress.say(message);
        const unavailable = BoxError.is(error, 'NOT_AVAILABLE') || BoxError.is(error, 'NO_MIRROR');
        const [reason = ''] = message.split('\n');
        return { state: unavailable ? 'unavailable' : 'failed', reason };
      }
    });
  }
}
