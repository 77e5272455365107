/** I2C adapter (VIRTIO 1.3, 5.16): who is there, registers of a chip, and an address without one. */
export const I2C = `
i2c_program:
  test dword ptr [esi + DEV_FEATURES], 1
  jnz 2f
  inc dword ptr [failures]
  call say
  .asciz "i2c: FAILED: no VIRTIO_I2C_F_ZERO_LENGTH_REQUEST\\n"
  ret
2:
  xor edx, edx
  mov ebp, 0x08
i2c_scan:
  push edx
  mov eax, ebp
  call i2c_probe
  pop edx
  cmp eax, -1
  je i2c_stop
  cmp eax, VIRTIO_I2C_MSG_OK
  jne 3f
  inc edx
  push ebp
  call say
  .asciz "i2c: a chip at %x\\n"
3:
  inc ebp
  cmp ebp, 0x78
  jb i2c_scan
  push edx
  call say
  .asciz "i2c: %d chips\\n"
  mov eax, [i2c_absent]
  call i2c_probe
  cmp eax, VIRTIO_I2C_MSG_ERR
  je 4f
  push eax
  push dword ptr [i2c_absent]
  call say
  .asciz "i2c: FAILED: %x answers %d\\n"
  inc dword ptr [failures]
4:
  xor ebp, ebp
  jmp i2c_next
i2c_stop:
  xor ebp, ebp
  jmp i2c_end
i2c_next:
  cmp ebp, [i2c_requests]
  jae i2c_end
  # A byte into a register, as SMBus has it.
  call begin
  mov edx, [edi + Q_RING]
  mov eax, [i2c_register]
  mov [edx + BUFFERS + 16], al
  imul eax, ebp, 37
  inc eax
  mov [edx + BUFFERS + 17], al
  mov eax, [i2c_chip]
  mov ecx, 2
  xor edx, edx
  call i2c_add
  call i2c_submit
  jne i2c_bad
  # And back: two messages that are one transfer.
  call begin
  mov edx, [edi + Q_RING]
  mov eax, [i2c_register]
  mov [edx + BUFFERS + 16], al
  mov byte ptr [edx + BUFFERS + 32 + 16], 0
  mov eax, [i2c_chip]
  mov ecx, 1
  mov edx, VIRTIO_I2C_FLAGS_FAIL_NEXT
  call i2c_add
  mov eax, [i2c_chip]
  mov ecx, 1
  mov edx, VIRTIO_I2C_FLAGS_M_RD
  call i2c_add
  call i2c_submit
  jne i2c_bad
  mov edx, [edi + Q_RING]
  imul eax, ebp, 37
  inc eax
  cmp al, [edx + BUFFERS + 32 + 16]
  jne i2c_bad
  inc ebp
  jmp i2c_next
i2c_bad:
  inc dword ptr [failures]
  push ebp
  call say
  .asciz "i2c: FAILED: byte %d could not be written and read back\\n"
i2c_end:
  push dword ptr [i2c_chip]
  push ebp
  call say
  .asciz "i2c: %d bytes written and read back at %x\\n"
  ret

# eax: address -> eax: status of a message without bytes, or -1
i2c_probe:
  push eax
  call begin
  pop eax
  xor ecx, ecx
  xor edx, edx
  call i2c_add
  call submit
  cmp eax, -1
  je 2f
  mov edx, [edi + Q_RING]
  movzx eax, byte ptr [edx + BUFFERS + 8]
2:
  ret

# Zero is set if the answers came and the last is good.
i2c_submit:
  call submit
  cmp eax, -1
  je 2f
  mov eax, [edi + Q_PENDING]
  dec eax
  shl eax, 5
  add eax, [edi + Q_RING]
  cmp byte ptr [eax + BUFFERS + 8], VIRTIO_I2C_MSG_OK
  ret
2:
  test esp, esp
  ret

# eax: address, ecx: bytes, edx: VIRTIO_I2C_FLAGS_*. Header, status and bytes are at 0, 8 and 16 of 32.
i2c_add:
  push ebp
  mov ebp, [edi + Q_PENDING]
  shl ebp, 5
  add ebp, [edi + Q_RING]
  add ebp, BUFFERS
  add eax, eax
  mov [ebp], eax
  mov [ebp + 4], edx
  mov byte ptr [ebp + 8], 0xff
  push dword ptr [edi + Q_CURSOR]
  push ecx
  mov eax, ebp
  mov ecx, 8
  mov edx, VIRTQ_DESC_F_NEXT
  call add_descriptor
  pop ecx
  test ecx, ecx
  jz 2f
  mov edx, VIRTQ_DESC_F_NEXT
  test dword ptr [ebp + 4], VIRTIO_I2C_FLAGS_M_RD
  jz 3f
  or edx, VIRTQ_DESC_F_WRITE
3:
  lea eax, [ebp + 16]
  call add_descriptor
2:
  lea eax, [ebp + 8]
  mov ecx, 1
  mov edx, VIRTQ_DESC_F_WRITE
  call add_descriptor
  pop eax
  call offer
  pop ebp
  ret
`;
