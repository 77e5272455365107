/** Counts how often guests were held and let go. */
export class Holds {
  readonly held: number[] = [];
  readonly released: number[] = [];
  /** False: guests cannot be held, as where that is not our right. */
  possible = true;

  readonly hold = (guest: number): (() => void) | undefined => {
    if (!this.possible) return undefined;
    this.held.push(guest);
    return () => this.released.push(guest);
  };

  /** Times that a guest is held now. */
  of(guest: number): number {
    const count = (list: readonly number[]): number => list.filter((id) => id === guest).length;
    return count(this.held) - count(this.released);
  }
}
