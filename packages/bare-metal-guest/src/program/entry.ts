/** Where the guest is entered, in flat 32-bit protected mode with EBX at the `hvm_start_info`, and how it ends. */
export const ENTRY = `
start:
  mov esp, STACK
  cld
  cmp dword ptr [ebx], XEN_HVM_START_MAGIC_VALUE
  je 2f
  call say
  .asciz "guest: FAILED: no hvm_start_info\\n"
  mov al, 2
  jmp stop
2:
  call interrupts_init
  mov esi, [ebx + START_CMDLINE]
  push esi
  call say
  .asciz "guest: %s\\n"
  call parse
  cmp dword ptr [spin], 0
  je 2f
  call start_spinner
2:
  mov esi, offset devices
  mov ecx, [device_count]
3:
  test ecx, ecx
  jz 4f
  push ecx
  call drive
  pop ecx
  add esi, DEV_SIZE
  dec ecx
  jmp 3b
4:
  cmp dword ptr [device_count], 0
  jne 5f
  inc dword ptr [failures]
  call say
  .asciz "guest: FAILED: the command line names no virtio_mmio.device\\n"
5:
  cmp dword ptr [failures], 0
  jne 6f
  call say
  .asciz "guest: done\\n"
  xor eax, eax
  jmp stop
6:
  push dword ptr [failures]
  call say
  .asciz "guest: %d checks failed\\n"
  mov al, 1

# al: how it went
stop:
  out 0xf4, al
2:
  cli
  hlt
  jmp 2b

.balign 16, 0
devices: .space 1024
device_count: .long 0
failures: .long 0
`;
