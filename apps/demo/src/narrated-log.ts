import { errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import type { Narrator } from './narrator.ts';

/** Tells what the bridge warns of as a part of the story, each thing once. */
export class NarratedLog implements Logger {
  readonly #narrator: Narrator;
  readonly #signals: { readonly ending: boolean };
  readonly #told = new Set<string>();

  /** @param signals - once the end was asked for nothing is worth a warning */
  constructor(narrator: Narrator, signals: { readonly ending: boolean }) {
    this.#narrator = narrator;
    this.#signals = signals;
  }

  debug(): void {}

  info(): void {}

  warn(context: object, message: string): void {
    if (this.#signals.ending) return;
    const { reason, err } = context as { reason?: string; err?: unknown };
    const why = reason ?? (err === undefined ? undefined : errorMessage(err));
    const text = why === undefined ? message : `${message}: ${why}`;
    if (this.#told.has(text)) return;
    this.#told.add(text);
    this.#narrator.say(text);
  }

  error(context: object, message: string): void {
    this.warn(context, message);
  }

  child(): Logger {
    return this;
  }
}
