/** As `DEVICES_MAX` of the numbers. */
const DEVICES = [0, 1, 2, 3, 4, 5, 6, 7];

/**
 * Interrupts: I/O APIC and local APIC, and a handler for each device. They are enabled in one place alone, where
 * the guest waits for one, and a handler returns to who waits without `iretd`, which a KVM that emulates
 * what is privileged does not know.
 */
export const INTERRUPTS = `
interrupts_init:
  lgdt [gdt_pointer]
  xor eax, eax
2:
  mov edx, offset unexpected
  call set_gate
  inc eax
  cmp eax, 256
  jb 2b
  mov eax, VECTOR_TIMER
  mov edx, offset on_timer
  call set_gate
  xor eax, eax
3:
  mov edx, [handlers + eax*4]
  add eax, VECTOR_DEVICES
  call set_gate
  sub eax, VECTOR_DEVICES - 1
  cmp eax, DEVICES_MAX
  jb 3b
  lidt [idt_pointer]
  # The PICs have the same lines: all of them masked.
  mov al, 0xff
  out 0x21, al
  out 0xa1, al
  mov dword ptr [LAPIC_SPIV], 0x1ff
  # A tick each second, by which a wait ends that nothing else ends.
  mov dword ptr [LAPIC_TDCR], 3
  mov dword ptr [LAPIC_LVTT], 0x20000 + VECTOR_TIMER
  mov dword ptr [LAPIC_TMICT], LAPIC_SECOND
  ret

# eax: vector, edx: handler
set_gate:
  lea ecx, [IDT + eax*8]
  mov [ecx], edx
  mov [ecx + 4], edx
  mov word ptr [ecx + 2], 8
  mov word ptr [ecx + 4], 0x8e00
  ret

# eax: input of the I/O APIC, ecx: number of the device; an edge, for the first vCPU
route:
  lea edx, [eax*2 + 0x11]
  mov [IOAPIC_SELECT], edx
  mov dword ptr [IOAPIC_DATA], 0
  dec edx
  mov [IOAPIC_SELECT], edx
  add ecx, VECTOR_DEVICES
  mov [IOAPIC_DATA], ecx
  ret

# Until there was an interrupt, which may be the timer's. eax, ecx and edx do not stay.
wait_interrupt:
  sti
  hlt
  jmp wait_interrupt

# What interrupts push is dropped, and who waits goes on.
on_timer:
  add esp, 12
  inc dword ptr [ticks]
  mov dword ptr [LAPIC_EOI], 0
  ret

${DEVICES.map((n) => `on_device_${n}:\n  mov eax, ${n}\n  jmp on_device`).join('\n')}
on_device:
  add esp, 12
  imul eax, eax, DEV_SIZE
  add eax, offset devices
  inc dword ptr [eax + DEV_IRQS]
  mov edx, [eax + DEV_BASE]
  mov ecx, [edx + VIRTIO_MMIO_INTERRUPT_STATUS]
  test ecx, ecx
  jnz 2f
  inc dword ptr [eax + DEV_SPURIOUS]
2:
  mov [edx + VIRTIO_MMIO_INTERRUPT_ACK], ecx
  mov dword ptr [LAPIC_EOI], 0
  ret

# An exception: what it has pushed says more.
unexpected:
  pop eax
  pop ecx
  push ecx
  push eax
  call say
  .asciz "guest: FAILED: unexpected interrupt or exception, %x %x\\n"
  mov al, 3
  jmp stop

.balign 8, 0
gdt:
  .long 0, 0
  .long 0x0000ffff, 0x00cf9a00
  .long 0x0000ffff, 0x00cf9200
gdt_pointer:
  .word 23
  .long gdt
idt_pointer:
  .word 0x7ff
  .long IDT
.balign 4, 0
handlers: .long ${DEVICES.map((n) => `on_device_${n}`).join(', ')}
ticks: .long 0
`;
