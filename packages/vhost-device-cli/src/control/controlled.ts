import type { ControlRequest } from './request.ts';

/** What is behind a control socket. */
export interface Controlled {
  /**
   * Does what a request asks for; one at a time of a connection.
   *
   * @returns the answer's members
   * @throws {Error} whose `code` and text the client is told
   */
  answer(request: ControlRequest): Promise<object>;

  /**
   * Listens to events, for a request whose word is `watch`.
   *
   * @param told - called with an event and the name of what it is of
   * @returns stops that
   * @throws {Error} whose `code` and text the client is told
   */
  watch(request: ControlRequest, told: (event: object, device: string) => void): Disposable;
}
