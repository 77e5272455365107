import ts from 'typescript';

/** As a user has it who is strict, in JavaScript, too. */
const OPTIONS: ts.CompilerOptions = {
  strict: true,
  target: ts.ScriptTarget.ES2022,
  lib: ['lib.es2023.d.ts'],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  types: ['node'],
  allowJs: true,
  checkJs: true,
  allowImportingTsExtensions: true,
  // `npm run check:packages` looks at what is declared, with the lowest TypeScript.
  skipLibCheck: true,
  noEmit: true,
};

export interface TypeProblem {
  readonly file: string;
  /** Of the file, from 0. */
  readonly line: number;
  readonly message: string;
}

/** Compiles all files as one program, whose `node_modules` are beside them. */
export function typeProblems(root: string, files: readonly string[]): TypeProblem[] {
  const host = ts.createCompilerHost(OPTIONS);
  host.getCurrentDirectory = () => root;
  const program = ts.createProgram([...files], OPTIONS, host);
  return ts.getPreEmitDiagnostics(program).map(({ file, start = 0, messageText }) => ({
    file: file?.fileName ?? '',
    line: file?.getLineAndCharacterOfPosition(start).line ?? 0,
    message: ts.flattenDiagnosticMessageText(messageText, ' '),
  }));
}

/** The JavaScript of a TypeScript module: types are left out, nothing is checked. */
export function withoutTypes(code: string): string {
  const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
  return ts.transpileModule(code, { compilerOptions }).outputText;
}
