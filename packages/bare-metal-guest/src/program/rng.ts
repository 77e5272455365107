/** Entropy (VIRTIO 1.3, 5.4): requests of several sizes. */
export const RNG = `
rng_program:
  mov dword ptr [rng_bytes], 0
  xor ebp, ebp
rng_next:
  cmp ebp, [rng_requests]
  jae rng_end
  mov eax, ebp
  xor edx, edx
  mov ecx, 6
  div ecx
  mov ecx, [rng_sizes + edx*4]
  mov [rng_size], ecx
  # Nothing is to be written behind it.
  mov byte ptr [DATA + ecx], 0xa5
  call begin
  mov eax, DATA
  mov edx, VIRTQ_DESC_F_WRITE
  call add_descriptor
  xor eax, eax
  call offer
  call submit
  cmp eax, -1
  je rng_end
  inc ebp
  add [rng_bytes], eax
  mov ecx, [rng_size]
  test eax, eax
  jz 3f
  cmp eax, ecx
  ja 3f
  cmp byte ptr [DATA + ecx], 0xa5
  jne 3f
  # The sum of all bytes.
  mov edx, [rng_sum]
  mov ecx, eax
  push esi
  mov esi, DATA
2:
  movzx eax, byte ptr [esi]
  rol edx, 5
  xor edx, eax
  inc esi
  dec ecx
  jnz 2b
  mov ecx, esi
  sub ecx, DATA
  pop esi
  mov [rng_sum], edx
  cmp ecx, 16
  jb rng_next
  # Sixteen bytes are not those of another time.
  mov eax, [DATA]
  xor eax, [rng_last]
  mov ecx, [DATA + 4]
  xor ecx, [rng_last + 4]
  or eax, ecx
  mov ecx, [DATA + 8]
  xor ecx, [rng_last + 8]
  or eax, ecx
  mov ecx, [DATA + 12]
  xor ecx, [rng_last + 12]
  or eax, ecx
  jz 4f
  push esi
  mov esi, DATA
  mov edi, offset rng_last
  mov ecx, 4
  rep movsd
  pop esi
  lea edi, [esi + DEV_QUEUE0]
  jmp rng_next
3:
  inc dword ptr [failures]
  push ecx
  push eax
  call say
  .asciz "rng: FAILED: %d bytes used of %d, or more written\\n"
  jmp rng_next
4:
  inc dword ptr [failures]
  call say
  .asciz "rng: FAILED: the same bytes again\\n"
  jmp rng_next
rng_end:
  push dword ptr [rng_sum]
  push dword ptr [rng_bytes]
  push ebp
  call say
  .asciz "rng: %d requests, %d bytes, sum %x\\n"
  ret

.balign 4, 0
rng_sizes: .long 1, 7, 64, 256, 1000, 4096
rng_size: .long 0
rng_bytes: .long 0
rng_sum: .long 0
rng_last: .long 0, 0, 0, 0
`;
