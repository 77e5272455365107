export function attachXenGuest(..._a: unknown[]): Promise<never> {
  throw new Error('pending');
}
