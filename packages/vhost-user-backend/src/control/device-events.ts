/** Who listens to a device from outside. */
export class DeviceEvents {
  readonly #listeners = new Set<{ readonly call: (event: object) => void }>();
  readonly #onChange: (listening: boolean) => void;

  /** @param onChange - told when the first listener has come and when the last has gone */
  constructor(onChange: (listening: boolean) => void) {
    this.#onChange = onChange;
  }

  get listening(): boolean {
    return this.#listeners.size > 0;
  }

  add(call: (event: object) => void): Disposable {
    const listener = { call };
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) this.#onChange(true);
    return {
      [Symbol.dispose]: () => {
        if (this.#listeners.delete(listener) && !this.listening) this.#onChange(false);
      },
    };
  }

  /** @param text - JSON, of the device or of its framework */
  tell(text: string): void {
    for (const { call } of [...this.#listeners]) call(JSON.parse(text) as object);
  }
}
