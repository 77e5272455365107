/** What no driver does: accesses that fit no register, and a second vCPU that never ends. */
export const HOSTILE = `
# esi: device, ebx: its registers. What it has broken of the device, a reset mends.
be_hostile:
  pushad
  # Every byte and, at every place, two and four bytes, read and written.
  xor edi, edi
2:
  mov al, [ebx + edi]
  mov ax, [ebx + edi]
  mov eax, [ebx + edi]
  mov byte ptr [ebx + edi], 0xff
  mov word ptr [ebx + edi], 0xffff
  mov dword ptr [ebx + edi], 0xffffffff
  inc edi
  cmp edi, VIRTIO_MMIO_WINDOW_SIZE
  jb 2b
  # By strings, out of the window and into it.
  mov esi, ebx
  mov edi, DATA
  mov ecx, 128
  rep movsd
  mov esi, DATA
  mov edi, ebx
  mov ecx, 128
  rep movsd
  # Where nothing is: ones.
  mov eax, [0xe0000ffe]
  cmp eax, -1
  je 3f
  inc dword ptr [failures]
  push eax
  call say
  .asciz "hostile: FAILED: nothing at 0xe0000ffe reads as %x\\n"
3:
  mov dword ptr [0xe0000ffe], 0
  mov dx, 0x5678
  in eax, dx
  out dx, eax
  mov dword ptr [ebx + VIRTIO_MMIO_STATUS], 0
  popad
  push dword ptr [esi + DEV_NAME]
  call say
  .asciz "hostile: wrong accesses to %s survived\\n"
  ret

# SDM volume 3, 9.4.4.1: INIT and start-up, at a page below 1 MiB in real mode.
start_spinner:
  mov esi, offset spinner
  mov edi, TRAMPOLINE
  mov ecx, 3
  rep movsd
  mov dword ptr [LAPIC_ICR2], 0x1000000
  mov dword ptr [LAPIC_ICR], 0x4500
  mov dword ptr [LAPIC_ICR2], 0x1000000
  mov dword ptr [LAPIC_ICR], 0x4600 + 8
  mov dword ptr [ticks], 0
2:
  cmp dword ptr [TRAMPOLINE + 8], 1
  je 3f
  call wait_interrupt
  mov eax, [ticks]
  cmp eax, [timeout]
  jbe 2b
  inc dword ptr [failures]
  call say
  .asciz "hostile: FAILED: the second vCPU does not start\\n"
  ret
3:
  call say
  .asciz "hostile: the second vCPU spins\\n"
  ret

.balign 4, 0
# mov byte ptr cs:[8], 1, and a jump to itself
spinner: .byte 0x2e, 0xc6, 0x06, 8, 0, 1, 0xeb, 0xfe, 0, 0, 0, 0
`;
