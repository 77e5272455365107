/** The answer to a call that may take until the device has let go of something. One of the two, once. */
export interface Answer<T> {
  resolve(result: T): void;
  reject(error: unknown): void;
}
