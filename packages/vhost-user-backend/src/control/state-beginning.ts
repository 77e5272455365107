/**
 * Whether the state of a device is from before this process. Where it is not (its file is new, was removed,
 * or is another's) a record of requests in flight that somebody has begun speaks of a device that is no
 * more: nobody can go on with that, until the device has been used from here.
 */
export class StateBeginning {
  #fresh: boolean;

  /** @param fresh - the device has found nothing in its file */
  constructor(fresh: boolean) {
    this.#fresh = fresh;
  }

  /** True while a record that was begun elsewhere cannot be of this state. */
  get fresh(): boolean {
    return this.#fresh;
  }

  /** A ring is given to the device: what is recorded from now on is of this state. */
  used(): void {
    this.#fresh = false;
  }
}
