/** Words of the command line that are numbers, and what each is without being said. */
const OPTIONS = {
  'rng.requests': 64,
  'i2c.requests': 16,
  'i2c.chip': 0x50,
  'i2c.register': 0x20,
  'i2c.absent': 0x31,
  'gpio.edges': 0,
  'gpio.out': 0,
  'gpio.in': 1,
  timeout: 30,
  hostile: 0,
  spin: 0,
};

/** As a label. */
const label = (name: string): string => name.replace('.', '_');

/** What the command line says: devices in Linux's spelling, and options. */
export const COMMAND_LINE = `
# esi: the text; words that nobody knows are passed over
parse:
  mov al, [esi]
  test al, al
  jz 9f
  cmp al, ' '
  ja 2f
  inc esi
  jmp parse
2:
  mov edi, offset word_device
  call matches
  jz parse_device
  mov ebx, offset options
3:
  mov edi, [ebx]
  test edi, edi
  jz skip_word
  call matches
  jz 4f
  add ebx, 8
  jmp 3b
4:
  call number
  mov ecx, [ebx + 4]
  mov [ecx], eax
skip_word:
  mov al, [esi]
  cmp al, ' '
  jbe parse
  inc esi
  jmp skip_word
9:
  ret

parse_device:
  call number
  cmp byte ptr [esi], '@'
  jne bad_device
  inc esi
  call number
  mov ebp, eax
  cmp byte ptr [esi], ':'
  jne bad_device
  inc esi
  call number
  cmp eax, 24
  jae bad_device
  mov ecx, [device_count]
  cmp ecx, DEVICES_MAX
  jae bad_device
  imul edx, ecx, DEV_SIZE
  add edx, offset devices
  mov [edx + DEV_BASE], ebp
  mov [edx + DEV_GSI], eax
  call route
  inc dword ptr [device_count]
  jmp skip_word
bad_device:
  inc dword ptr [failures]
  call say
  .asciz "guest: FAILED: a device that is one too many, or not <size>@<base>:<irq>\\n"
  jmp skip_word

# esi: a text, edi: how it is to begin; if so, zero is set and esi behind that
matches:
  mov edx, esi
2:
  mov al, [edi]
  test al, al
  jz 3f
  inc edi
  cmp al, [edx]
  jne 4f
  inc edx
  jmp 2b
3:
  mov esi, edx
4:
  ret

# esi: a number, decimal, or hexadecimal behind 0x, perhaps with K or M -> eax, and esi behind it
number:
  xor eax, eax
  mov ecx, 10
  cmp word ptr [esi], 0x7830
  jne 2f
  add esi, 2
  mov ecx, 16
2:
  movzx edx, byte ptr [esi]
  sub edx, '0'
  jb 5f
  cmp edx, 10
  jb 4f
  cmp ecx, 16
  jne 5f
  add edx, '0'
  or edx, 0x20
  sub edx, 'a' - 10
  cmp edx, 10
  jb 5f
  cmp edx, 16
  jae 5f
4:
  imul eax, ecx
  add eax, edx
  inc esi
  jmp 2b
5:
  mov dl, [esi]
  cmp dl, 'K'
  jne 6f
  shl eax, 10
  inc esi
  ret
6:
  cmp dl, 'M'
  jne 7f
  shl eax, 20
  inc esi
7:
  ret

word_device: .asciz "virtio_mmio.device="
${Object.keys(OPTIONS)
  .map((name) => `word_${label(name)}: .asciz "${name}="`)
  .join('\n')}
.balign 4, 0
options:
${Object.keys(OPTIONS)
  .map((name) => `  .long word_${label(name)}, ${label(name)}`)
  .join('\n')}
  .long 0
${Object.entries(OPTIONS)
  .map(([name, value]) => `${label(name)}: .long ${value}`)
  .join('\n')}
`;
