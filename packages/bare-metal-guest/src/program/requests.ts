/** Requests: chains in the split ring of a queue, and waiting for their interrupts. esi: device, edi: queue. */
export const REQUESTS = `
begin:
  mov dword ptr [edi + Q_CURSOR], 0
  mov dword ptr [edi + Q_PENDING], 0
  ret

# eax: address, ecx: bytes, edx: VIRTQ_DESC_F_*. Those that have VIRTQ_DESC_F_NEXT go on with the one behind.
add_descriptor:
  push ebx
  mov ebx, [edi + Q_CURSOR]
  inc dword ptr [edi + Q_CURSOR]
  push eax
  mov eax, ebx
  shl eax, 4
  add eax, [edi + Q_RING]
  pop dword ptr [eax]
  mov dword ptr [eax + 4], 0
  mov [eax + 8], ecx
  mov [eax + 12], dx
  inc ebx
  mov [eax + 14], bx
  pop ebx
  ret

# eax: head of a chain. The device sees it when it is notified.
offer:
  mov edx, [edi + Q_AVAIL]
  and edx, Q_SIZE - 1
  mov ecx, [edi + Q_RING]
  mov [ecx + edx*2 + AVAIL + 4], ax
  inc dword ptr [edi + Q_AVAIL]
  inc dword ptr [edi + Q_PENDING]
  ret

notify:
  mov eax, [esi + DEV_IRQS]
  mov [irqs_before], eax
  mov ecx, [edi + Q_RING]
  mov eax, [edi + Q_AVAIL]
  mov [ecx + AVAIL + 2], ax
  mov eax, [edi + Q_INDEX]
  mov [ebx + VIRTIO_MMIO_QUEUE_NOTIFY], eax
  inc dword ptr [esi + DEV_KICKS]
  ret

# Until all that was offered is used and there was an interrupt -> eax: bytes written by the last, or -1
submit:
  call notify
await:
  mov dword ptr [ticks], 0
2:
  mov ecx, [edi + Q_RING]
  mov ax, [ecx + USED + 2]
  sub ax, [edi + Q_USED]
  movzx eax, ax
  cmp eax, [edi + Q_PENDING]
  jae 3f
  call wait_interrupt
  mov eax, [ticks]
  cmp eax, [timeout]
  jbe 2b
  mov edx, offset text_no_answer
  jmp 5f
3:
  jne 6f
  mov eax, [esi + DEV_IRQS]
  cmp eax, [irqs_before]
  jne 4f
  call wait_interrupt
  mov eax, [ticks]
  cmp eax, [timeout]
  jbe 2b
  mov edx, offset text_no_interrupt
  jmp 5f
4:
  mov eax, [edi + Q_PENDING]
  add [esi + DEV_COMPLETIONS], eax
  mov edx, [edi + Q_USED]
  add eax, edx
  mov [edi + Q_USED], ax
  dec eax
  and eax, Q_SIZE - 1
  mov ecx, [edi + Q_RING]
  mov eax, [ecx + eax*8 + USED + 8]
  ret
6:
  mov edx, offset text_too_many
5:
  inc dword ptr [failures]
  push edx
  push dword ptr [esi + DEV_NAME]
  call say
  .asciz "%s: FAILED: %s\\n"
  or eax, -1
  ret

text_no_answer: .asciz "no answer in time"
text_no_interrupt: .asciz "an answer without an interrupt"
text_too_many: .asciz "answers to nothing"
.balign 4, 0
irqs_before: .long 0
`;
