/**
 * One rule that every implementation of an interface keeps. A suite is a list of them, so that any test
 * runner, or none, runs it: on fakes in unit tests and on the real thing in an emulated machine.
 *
 * @typeParam Subject - what a case works on, fresh for each
 */
export interface ComplianceCase<Subject> {
  /** What the rule is about: a part of the interface, or a section of its specification. */
  readonly section: string;
  /** The rule, as a sentence whose subject is the implementation. */
  readonly name: string;
  /**
   * @returns what to wait for: rules of what is synchronous return nothing
   * @throws {AssertionError} when the rule is broken
   */
  run(subject: Subject): Promise<void> | void;
}
