/** A class of coded errors, as its static `is` needs it. */
type CodedErrorClass<E> = (abstract new (...args: never[]) => E) & { readonly brand: string };

/**
 * What every error class of node-vmm extends: the class says the package, `code` the reason. A class
 * needs no more than its types and its brand:
 *
 * ```ts
 * export class FrobError extends CodedError<FrobErrorCode, FrobErrorContext> {
 *   static override readonly brand = '@node-vmm/frob/FrobError';
 * }
 * ```
 *
 * A class whose context has members that must be given takes a constructor of its own.
 */
export abstract class CodedError<
  Code extends string = string,
  Context extends object = object,
> extends Error {
  /** `<package>/<class>`: by it a class knows its errors, those of another copy of the package too. */
  static readonly brand: string = '@node-vmm/vmm-sys-util/CodedError';

  readonly code: Code;
  /** Names and numbers that belong to the error, as far as they are known. */
  readonly context: Context;

  /**
   * @param code - the reason, to be matched on
   * @param message - `Cannot <action> <subject>: <state>`, with the remedy where there is one
   */
  constructor(
    code: Code,
    message: string,
    context: Context = {} as Context,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.context = context;
  }

  /** The class's name, of its brand: a bundler may have given the class another. */
  override get name(): string {
    const { brand } = this.constructor as typeof CodedError;
    return brand.slice(brand.lastIndexOf('/') + 1);
  }

  /**
   * True for an error of this class or of one below it, of any copy of the package, with this code
   * when one is given. `instanceof` is wrong here: two packages may have a copy each.
   */
  static is<E extends CodedError>(
    this: CodedErrorClass<E>,
    error: unknown,
    code?: E['code'],
  ): error is E {
    // biome-ignore lint/complexity/noThisInStatic: the class that was asked, each has its own brand
    if (!hasBrand(error, this.brand)) return false;
    return code === undefined || (error as E).code === code;
  }
}

function hasBrand(error: unknown, brand: string): boolean {
  if (typeof error !== 'object') return false;
  for (let at = error; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    if ((at.constructor as Partial<typeof CodedError> | undefined)?.brand === brand) return true;
  }
  return false;
}
