/** The debug console. */
export const SAY = `
# Prints the text behind the call: %s, %d and %x take arguments, which are popped. All registers stay.
say:
  pushad
  mov esi, [esp + 32]
  lea edi, [esp + 36]
say_next:
  mov al, [esi]
  inc esi
  test al, al
  jz say_end
  cmp al, '%'
  je say_argument
  out 0xe9, al
  jmp say_next
say_argument:
  mov dl, [esi]
  inc esi
  mov eax, [edi]
  add edi, 4
  cmp dl, 's'
  je say_string
  mov ebx, 10
  cmp dl, 'x'
  jne 2f
  mov ebx, 16
2:
  call say_number
  jmp say_next
say_string:
  mov ecx, eax
3:
  mov al, [ecx]
  inc ecx
  test al, al
  jz say_next
  out 0xe9, al
  jmp 3b
say_end:
  # Where to go on, in place of the last argument.
  sub edi, 4
  mov [edi], esi
  mov [say_stack], edi
  popad
  mov esp, [say_stack]
  ret

# eax in the base of ebx
say_number:
  xor ecx, ecx
2:
  xor edx, edx
  div ebx
  push edx
  inc ecx
  test eax, eax
  jnz 2b
  cmp ebx, 16
  jne 3f
  mov al, '0'
  out 0xe9, al
  mov al, 'x'
  out 0xe9, al
3:
  pop eax
  cmp al, 10
  jb 4f
  add al, 'a' - '0' - 10
4:
  add al, '0'
  out 0xe9, al
  dec ecx
  jnz 3b
  ret

say_stack: .long 0
`;
