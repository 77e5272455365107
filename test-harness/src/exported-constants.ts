import ts from 'typescript';

/** A constant of a package as its user's editor shows it. */
export interface ExportedConstant {
  readonly name: string;
  /** The module that declares it. */
  readonly file: string;
  /** Of the declaration, from 1. */
  readonly line: number;
  /** What an editor shows when one points at it; '' when there is nothing. */
  readonly text: string;
}

const OPTIONS: ts.CompilerOptions = {
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  customConditions: ['@node-vmm/source'],
  allowImportingTsExtensions: true,
  skipLibCheck: true,
  noEmit: true,
};

/** `EPOLLIN`, `XENVER_version`, `__HYPERVISOR_dm_op`: no functions, and no objects such as `silentLogger`. */
const CONSTANT = /^_*[A-Z][A-Z0-9]+(?:_\w+)?$/;

/** @param entries - modules whose exports are looked at; each constant is returned once */
export function exportedConstants(entries: readonly string[]): ExportedConstant[] {
  const program = ts.createProgram([...entries], OPTIONS);
  const checker = program.getTypeChecker();
  const found = new Map<ts.Symbol, ExportedConstant>();
  for (const entry of entries) {
    const source = program.getSourceFile(entry);
    const module = source === undefined ? undefined : checker.getSymbolAtLocation(source);
    for (const exported of module === undefined ? [] : checker.getExportsOfModule(module)) {
      const alias = (exported.flags & ts.SymbolFlags.Alias) !== 0;
      const symbol = alias ? checker.getAliasedSymbol(exported) : exported;
      const { valueDeclaration: declaration, name } = symbol;
      if (declaration === undefined || !ts.isVariableDeclaration(declaration)) continue;
      if (!CONSTANT.test(name)) continue;
      const file = declaration.getSourceFile();
      found.set(symbol, {
        name,
        file: file.fileName,
        line: file.getLineAndCharacterOfPosition(declaration.getStart()).line + 1,
        text: ts.displayPartsToString(symbol.getDocumentationComment(checker)),
      });
    }
  }
  return [...found.values()];
}
