/** Machine code as data: for each instruction its label, or '', its bytes in hexadecimal, and its text. */
export type MachineCode = readonly (readonly [label: string, bytes: string, text: string])[];

/** The bytes alone. */
export function assemble(code: MachineCode): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(code.map(([, bytes]) => bytes).join(''), 'hex'));
}
