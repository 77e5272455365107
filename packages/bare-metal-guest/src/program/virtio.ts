/** What all drivers have in common (VIRTIO 1.3, 3.1 and 4.2.3): initialisation, and requests on split rings. */
export const VIRTIO = `
# esi: a device. The program of its type drives it; esi stays.
drive:
  mov ebx, [esi + DEV_BASE]
  cmp dword ptr [ebx + VIRTIO_MMIO_MAGIC_VALUE], VIRTIO_MMIO_MAGIC
  jne 2f
  cmp dword ptr [ebx + VIRTIO_MMIO_VERSION], VIRTIO_MMIO_VERSION_2
  jne 2f
  mov eax, [ebx + VIRTIO_MMIO_DEVICE_ID]
  mov ebp, offset types
3:
  cmp dword ptr [ebp], 0
  je 4f
  cmp eax, [ebp]
  je 5f
  add ebp, 20
  jmp 3b
2:
  inc dword ptr [failures]
  push ebx
  call say
  .asciz "guest: FAILED: no virtio-mmio device of version 2 at %x\\n"
  ret
4:
  push eax
  push ebx
  call say
  .asciz "guest: device at %x: nothing drives type %d\\n"
  ret
5:
  mov eax, [ebp + 4]
  mov [esi + DEV_NAME], eax
  cmp dword ptr [hostile], 0
  je 6f
  call be_hostile
6:
  call device_init
  jne 7f
  lea edi, [esi + DEV_QUEUE0]
  push esi
  call dword ptr [ebp + 16]
  pop esi
  push dword ptr [esi + DEV_SPURIOUS]
  push dword ptr [esi + DEV_IRQS]
  push dword ptr [esi + DEV_COMPLETIONS]
  push dword ptr [esi + DEV_KICKS]
  push dword ptr [esi + DEV_NAME]
  call say
  .asciz "%s: %d kicks, %d completions, %d interrupts, %d spurious\\n"
7:
  mov dword ptr [ebx + VIRTIO_MMIO_STATUS], 0
  ret

# esi: device, ebx: its registers, ebp: its type. Zero is set if it is to be driven.
device_init:
  mov dword ptr [ebx + VIRTIO_MMIO_STATUS], 0
  cmp dword ptr [ebx + VIRTIO_MMIO_STATUS], 0
  jne bad_init
  mov dword ptr [ebx + VIRTIO_MMIO_STATUS], VIRTIO_CONFIG_S_ACKNOWLEDGE
  mov dword ptr [ebx + VIRTIO_MMIO_STATUS], VIRTIO_CONFIG_S_ACKNOWLEDGE + VIRTIO_CONFIG_S_DRIVER
  # VIRTIO_F_VERSION_1 is bit 32.
  mov dword ptr [ebx + VIRTIO_MMIO_DEVICE_FEATURES_SEL], 1
  mov eax, [ebx + VIRTIO_MMIO_DEVICE_FEATURES]
  test al, 1
  jz bad_init
  mov dword ptr [ebx + VIRTIO_MMIO_DRIVER_FEATURES_SEL], 1
  mov dword ptr [ebx + VIRTIO_MMIO_DRIVER_FEATURES], 1
  mov dword ptr [ebx + VIRTIO_MMIO_DEVICE_FEATURES_SEL], 0
  mov eax, [ebx + VIRTIO_MMIO_DEVICE_FEATURES]
  and eax, [ebp + 8]
  mov [esi + DEV_FEATURES], eax
  mov dword ptr [ebx + VIRTIO_MMIO_DRIVER_FEATURES_SEL], 0
  mov [ebx + VIRTIO_MMIO_DRIVER_FEATURES], eax
  mov dword ptr [ebx + VIRTIO_MMIO_STATUS], 11
  test dword ptr [ebx + VIRTIO_MMIO_STATUS], VIRTIO_CONFIG_S_FEATURES_OK
  jz bad_init
  push eax
  push dword ptr [esi + DEV_GSI]
  push ebx
  push dword ptr [esi + DEV_NAME]
  call say
  .asciz "%s: device at %x, interrupt %d, features %x\\n"
  xor ecx, ecx
  lea edi, [esi + DEV_QUEUE0]
2:
  call queue_init
  jne bad_init
  add edi, 32
  inc ecx
  cmp ecx, [ebp + 12]
  jb 2b
  mov dword ptr [ebx + VIRTIO_MMIO_STATUS], 15
  xor eax, eax
  ret
bad_init:
  inc dword ptr [failures]
  push dword ptr [ebx + VIRTIO_MMIO_STATUS]
  push dword ptr [esi + DEV_NAME]
  call say
  .asciz "%s: FAILED: cannot be initialised, status %x\\n"
  or eax, 1
  ret

# ecx: index, edi: queue. Zero is set if there is one. Each has a page.
queue_init:
  mov [edi + Q_INDEX], ecx
  mov eax, esi
  sub eax, offset devices
  shr eax, 6
  add eax, ecx
  shl eax, 12
  add eax, RINGS
  mov [edi + Q_RING], eax
  mov [ebx + VIRTIO_MMIO_QUEUE_SEL], ecx
  cmp dword ptr [ebx + VIRTIO_MMIO_QUEUE_NUM_MAX], Q_SIZE
  jb 2f
  mov dword ptr [ebx + VIRTIO_MMIO_QUEUE_NUM], Q_SIZE
  mov [ebx + VIRTIO_MMIO_QUEUE_DESC_LOW], eax
  mov dword ptr [ebx + VIRTIO_MMIO_QUEUE_DESC_HIGH], 0
  add eax, AVAIL
  mov [ebx + VIRTIO_MMIO_QUEUE_AVAIL_LOW], eax
  mov dword ptr [ebx + VIRTIO_MMIO_QUEUE_AVAIL_HIGH], 0
  add eax, USED - AVAIL
  mov [ebx + VIRTIO_MMIO_QUEUE_USED_LOW], eax
  mov dword ptr [ebx + VIRTIO_MMIO_QUEUE_USED_HIGH], 0
  mov dword ptr [ebx + VIRTIO_MMIO_QUEUE_READY], 1
  cmp dword ptr [ebx + VIRTIO_MMIO_QUEUE_READY], 1
  ret
2:
  or eax, 1
  ret

.balign 4, 0
# Type, name, features that its driver knows (0 to 31), queues, driver.
types:
  .long VIRTIO_ID_RNG, name_rng, 0, 1, rng_program
  .long VIRTIO_ID_I2C_ADAPTER, name_i2c, 1, 1, i2c_program
  .long VIRTIO_ID_GPIO, name_gpio, 1, 2, gpio_program
  .long 0
name_rng: .asciz "rng"
name_i2c: .asciz "i2c"
name_gpio: .asciz "gpio"
`;
