/** GPIO (VIRTIO 1.3, 5.18): a line that is driven, one that does not exist, and the edges of another. */
export const GPIO = `
gpio_program:
  movzx eax, word ptr [ebx + VIRTIO_MMIO_CONFIG]
  mov [gpio_lines], eax
  push eax
  call say
  .asciz "gpio: %d lines\\n"
  mov ebp, offset gpio_script
2:
  cmp dword ptr [ebp], 0
  je gpio_interrupts
  mov ecx, [ebp + 4]
  mov eax, [ecx]
  shl eax, 16
  or eax, [ebp]
  mov edx, [ebp + 8]
  mov ecx, [ebp + 12]
  call gpio_expect
  jne gpio_end
  add ebp, 16
  jmp 2b

gpio_interrupts:
  xor ebp, ebp
  cmp dword ptr [gpio_edges], 0
  je gpio_end
  test dword ptr [esi + DEV_FEATURES], 1
  jnz 3f
  inc dword ptr [failures]
  call say
  .asciz "gpio: FAILED: no VIRTIO_GPIO_F_IRQ\\n"
  ret
3:
  mov eax, [gpio_in]
  shl eax, 16
  or eax, VIRTIO_GPIO_MSG_SET_IRQ_TYPE
  mov edx, VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING
  mov ecx, VIRTIO_GPIO_STATUS_OK
  call gpio_expect
  jne gpio_end
  lea edi, [esi + DEV_QUEUE1]
gpio_next:
  # A buffer on the event queue unmasks the line; its return is the interrupt.
  call begin
  mov edx, [edi + Q_RING]
  add edx, BUFFERS
  mov eax, [gpio_in]
  mov [edx], eax
  mov byte ptr [edx + 16], 0xff
  push edx
  mov eax, edx
  mov ecx, 2
  mov edx, VIRTQ_DESC_F_NEXT
  call add_descriptor
  pop eax
  add eax, 16
  mov ecx, 1
  mov edx, VIRTQ_DESC_F_WRITE
  call add_descriptor
  xor eax, eax
  call offer
  call notify
  test ebp, ebp
  jnz 4f
  push dword ptr [gpio_in]
  push dword ptr [gpio_edges]
  call say
  .asciz "gpio: waiting for %d edges of line %d\\n"
4:
  call await
  cmp eax, -1
  je gpio_no_more
  mov edx, [edi + Q_RING]
  movzx eax, byte ptr [edx + BUFFERS + 16]
  cmp eax, VIRTIO_GPIO_IRQ_STATUS_VALID
  jne gpio_invalid
  inc ebp
  cmp ebp, [gpio_edges]
  jb gpio_next
  lea edi, [esi + DEV_QUEUE0]
  mov eax, [gpio_in]
  shl eax, 16
  or eax, VIRTIO_GPIO_MSG_SET_IRQ_TYPE
  mov edx, VIRTIO_GPIO_IRQ_TYPE_NONE
  mov ecx, VIRTIO_GPIO_STATUS_OK
  call gpio_expect
  jmp gpio_no_more
gpio_invalid:
  inc dword ptr [failures]
  push eax
  call say
  .asciz "gpio: FAILED: an event of status %x\\n"
gpio_no_more:
  push dword ptr [gpio_in]
  push ebp
  call say
  .asciz "gpio: %d edges of line %d\\n"
gpio_end:
  ret

# eax: message, and line from bit 16 on, edx: value, ecx: status, and value from bit 8 on, that are right.
# Zero is set if they are.
gpio_expect:
  push ecx
  push eax
  push edx
  call begin
  mov ecx, [edi + Q_RING]
  pop dword ptr [ecx + BUFFERS + 4]
  pop dword ptr [ecx + BUFFERS]
  mov word ptr [ecx + BUFFERS + 16], 0xffff
  lea eax, [ecx + BUFFERS]
  push eax
  mov ecx, 8
  mov edx, VIRTQ_DESC_F_NEXT
  call add_descriptor
  pop eax
  add eax, 16
  mov ecx, 2
  mov edx, VIRTQ_DESC_F_WRITE
  call add_descriptor
  xor eax, eax
  call offer
  call submit
  pop ecx
  cmp eax, -1
  je 2f
  mov edx, [edi + Q_RING]
  movzx eax, word ptr [edx + BUFFERS + 16]
  cmp eax, ecx
  je 3f
  push ecx
  push eax
  push dword ptr [edx + BUFFERS]
  call say
  .asciz "gpio: FAILED: message %x is answered with %x, and not %x\\n"
  inc dword ptr [failures]
2:
  test esp, esp
3:
  ret

.balign 4, 0
gpio_lines: .long 0
# Message, whose line, value, right answer.
gpio_script:
  .long VIRTIO_GPIO_MSG_SET_VALUE, gpio_out, 1, 0
  .long VIRTIO_GPIO_MSG_SET_DIRECTION, gpio_out, VIRTIO_GPIO_DIRECTION_OUT, 0
  .long VIRTIO_GPIO_MSG_GET_DIRECTION, gpio_out, 0, 0x100
  .long VIRTIO_GPIO_MSG_GET_VALUE, gpio_out, 0, 0x100
  .long VIRTIO_GPIO_MSG_SET_VALUE, gpio_out, 0, 0
  .long VIRTIO_GPIO_MSG_GET_VALUE, gpio_out, 0, 0
  .long VIRTIO_GPIO_MSG_GET_VALUE, gpio_lines, 0, VIRTIO_GPIO_STATUS_ERR
  .long VIRTIO_GPIO_MSG_SET_DIRECTION, gpio_in, VIRTIO_GPIO_DIRECTION_IN, 0
  .long VIRTIO_GPIO_MSG_GET_DIRECTION, gpio_in, 0, 0x200
  .long 0
`;
