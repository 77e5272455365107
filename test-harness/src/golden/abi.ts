/** Structs and constants that one C file can ask for together. */
export interface AbiGroup {
  readonly name: string;
  /** Where the definitions are, for messages. */
  readonly origin: string;
  /** Only there; by default everywhere. */
  readonly target?: 'arm64' | 'x86_64';
  readonly prologue: readonly string[];
  /** Name in our tables -> C type and fields; a field is `name` or `name=C designator`. */
  readonly structs: Readonly<Record<string, readonly [type: string, fields: string]>>;
  /** Names of macros and enumerators. */
  readonly constants: string;
}

const include = (...headers: string[]): string[] => headers.map((name) => `#include <${name}>`);
/** A struct whose C type is `struct <name>`. */
const plain = (
  fields: Readonly<Record<string, string>>,
): Record<string, readonly [string, string]> =>
  Object.fromEntries(
    Object.entries(fields).map(([name, list]) => [name, [`struct ${name}`, list] as const]),
  );

/** Everything of the platform's ABI that our packages have tables of. */
export const ABI: readonly AbiGroup[] = [
  {
    name: 'xen',
    origin: 'public headers of Xen',
    prologue: [
      '#include <stdint.h>',
      // As the toolstack sees the interface, in its present form.
      '#define __XEN_TOOLS__ 1',
      '#define __XEN_INTERFACE_VERSION__ __XEN_LATEST_INTERFACE_VERSION__',
      ...include('xen/xen.h', 'xen/memory.h', 'xen/version.h', 'xen/features.h'),
      ...include('xen/event_channel.h', 'xen/grant_table.h', 'xen/hvm/ioreq.h'),
      ...include('xen/hvm/hvm_op.h', 'xen/hvm/dm_op.h', 'xen/io/xs_wire.h', 'xen/domctl.h'),
      ...include('xen/hvm/params.h', 'xen/hvm/e820.h', 'xen/arch-x86/hvm/start_info.h'),
    ],
    structs: {
      ...plain({
        hvm_start_info:
          'magic version flags nr_modules modlist_paddr cmdline_paddr rsdp_paddr memmap_paddr memmap_entries reserved',
        hvm_memmap_table_entry: 'addr size type reserved',
        xen_dm_op: 'op pad',
        xen_dm_op_create_ioreq_server: 'handle_bufioreq id',
        xen_dm_op_get_ioreq_server_info: 'id flags bufioreq_port ioreq_gfn bufioreq_gfn',
        xen_dm_op_ioreq_server_range: 'id pad type start end',
        xen_dm_op_set_ioreq_server_state: 'id enabled pad',
        xen_dm_op_destroy_ioreq_server: 'id pad',
        xen_dm_op_set_isa_irq_level: 'isa_irq level',
        xen_dm_op_inject_msi: 'data pad addr',
        xen_dm_op_set_irq_level: 'irq level',
        xen_dm_op_nr_vcpus: 'vcpus',
        xen_domctl: 'cmd interface_version domain',
        xen_feature_info: 'submap_idx submap',
        xen_hvm_param: 'domid pad index value',
        xen_memory_domain: 'domid',
        xen_add_to_physmap: 'domid size space idx gpfn',
        xsd_sockmsg: 'type req_id tx_id len',
        evtchn_alloc_unbound: 'dom remote_dom port',
        evtchn_bind_interdomain: 'remote_dom remote_port local_port',
        evtchn_close: 'port',
        evtchn_send: 'port',
        gnttab_map_grant_ref: 'host_addr flags ref dom status handle dev_bus_addr',
        gnttab_unmap_grant_ref: 'host_addr dev_bus_addr handle status',
      }),
      ioreq: ['ioreq_t', 'addr data count size vp_eport _pad0 type'],
    },
    constants: `
      XEN_HVM_START_MAGIC_VALUE XEN_HVM_MEMMAP_TYPE_RAM XEN_HVM_MEMMAP_TYPE_RESERVED
      XEN_DMOP_create_ioreq_server XEN_DMOP_get_ioreq_server_info
      XEN_DMOP_map_io_range_to_ioreq_server XEN_DMOP_unmap_io_range_from_ioreq_server
      XEN_DMOP_set_ioreq_server_state XEN_DMOP_destroy_ioreq_server XEN_DMOP_set_isa_irq_level
      XEN_DMOP_inject_msi XEN_DMOP_set_irq_level XEN_DMOP_nr_vcpus XEN_DMOP_no_gfns
      XEN_DMOP_IO_RANGE_PORT XEN_DMOP_IO_RANGE_MEMORY XEN_DMOP_IO_RANGE_PCI
      HVM_IOREQSRV_BUFIOREQ_OFF HVM_IOREQSRV_BUFIOREQ_LEGACY HVM_IOREQSRV_BUFIOREQ_ATOMIC
      HVMOP_get_param HVM_PARAM_STORE_PFN HVM_PARAM_NR_IOREQ_SERVER_PAGES HVM_BELOW_4G_RAM_END
      IOREQ_READ IOREQ_WRITE STATE_IOREQ_NONE STATE_IOREQ_READY STATE_IOREQ_INPROCESS
      STATE_IORESP_READY IOREQ_TYPE_PIO IOREQ_TYPE_COPY IOREQ_TYPE_PCI_CONFIG
      IOREQ_TYPE_TIMEOFFSET IOREQ_TYPE_INVALIDATE
      XENMEM_maximum_reservation XENMEM_maximum_gpfn XENMEM_acquire_resource XENMEM_resource_ioreq_server
      XENMEM_resource_grant_table XENMEM_resource_ioreq_server_frame_bufioreq
      XENVER_version XENVER_extraversion XENVER_capabilities XENVER_changeset XENVER_get_features
      XEN_EXTRAVERSION_LEN XEN_CAPABILITIES_INFO_LEN XEN_CHANGESET_INFO_LEN
      XENFEAT_auto_translated_physmap XENFEAT_dom0
      __HYPERVISOR_memory_op __HYPERVISOR_xen_version __HYPERVISOR_event_channel_op
      __HYPERVISOR_hvm_op __HYPERVISOR_domctl XEN_DOMCTL_pausedomain XEN_DOMCTL_unpausedomain
      __HYPERVISOR_dm_op DOMID_FIRST_RESERVED DOMID_SELF DOMID_INVALID DOMID_IDLE
      XS_CONTROL XS_DIRECTORY XS_READ XS_GET_PERMS XS_WATCH XS_UNWATCH XS_TRANSACTION_START
      XS_TRANSACTION_END XS_INTRODUCE XS_RELEASE XS_GET_DOMAIN_PATH XS_WRITE XS_MKDIR XS_RM
      XS_SET_PERMS XS_WATCH_EVENT XS_ERROR XS_IS_DOMAIN_INTRODUCED XS_RESUME XS_SET_TARGET
      XS_RESET_WATCHES XS_DIRECTORY_PART
      XENSTORE_PAYLOAD_MAX XENSTORE_ABS_PATH_MAX XENSTORE_REL_PATH_MAX`,
  },
  {
    name: 'xen-arm',
    origin: 'arch-arm.h of Xen',
    target: 'arm64',
    prologue: ['#include <stdint.h>', '#define __XEN_TOOLS__ 1', ...include('xen/xen.h')],
    structs: {},
    constants: `
      GUEST_RAM_BANKS GUEST_RAM0_BASE GUEST_RAM0_SIZE GUEST_RAM1_BASE GUEST_RAM1_SIZE
      GUEST_VIRTIO_MMIO_BASE GUEST_VIRTIO_MMIO_SIZE GUEST_VIRTIO_MMIO_SPI_FIRST
      GUEST_VIRTIO_MMIO_SPI_LAST GUEST_MAX_VCPUS
      GUEST_GICD_BASE GUEST_GICD_SIZE GUEST_GICC_BASE GUEST_GICC_SIZE
      GUEST_GICV3_GICD_BASE GUEST_GICV3_GICD_SIZE GUEST_GICV3_GICR0_BASE GUEST_GICV3_GICR0_SIZE
      GUEST_VPCI_ECAM_BASE GUEST_VPCI_ECAM_SIZE GUEST_VPCI_MEM_ADDR GUEST_VPCI_MEM_SIZE
      GUEST_VPCI_PREFETCH_MEM_ADDR GUEST_VPCI_PREFETCH_MEM_SIZE
      GUEST_ACPI_BASE GUEST_ACPI_SIZE GUEST_PL011_BASE GUEST_PL011_SIZE
      GUEST_GNTTAB_BASE GUEST_GNTTAB_SIZE GUEST_MAGIC_BASE GUEST_MAGIC_SIZE`,
  },
  {
    name: 'xen-drivers',
    origin: 'Linux uapi xen/*.h',
    prologue: [
      '#include <stdint.h>',
      '#define __user',
      ...include('xen/xen.h', 'xen/grant_table.h', 'xen/privcmd.h', 'xen/evtchn.h'),
      ...include('xen/gntdev.h', 'sys/ioctl.h'),
    ],
    structs: plain({
      privcmd_hypercall: 'op arg0=arg[0] arg1=arg[1] arg2=arg[2] arg3=arg[3] arg4=arg[4]',
      privcmd_mmapbatch_v2: 'num dom addr arr err',
      privcmd_dm_op_buf: 'uptr size',
      privcmd_dm_op: 'dom num ubufs',
      privcmd_mmap_resource: 'dom type id idx num addr',
      privcmd_irqfd: 'dm_op size fd flags dom',
      privcmd_ioeventfd: 'ioreq ports addr addr_len event_fd vcpus vq flags dom',
      ioctl_evtchn_bind_interdomain: 'remote_domain remote_port',
      ioctl_evtchn_bind_unbound_port: 'remote_domain',
      ioctl_evtchn_unbind: 'port',
      ioctl_evtchn_notify: 'port',
      ioctl_evtchn_restrict_domid: 'domid',
      ioctl_gntdev_grant_ref: 'domid ref',
      ioctl_gntdev_map_grant_ref: 'count pad index refs',
      ioctl_gntdev_unmap_grant_ref: 'index count pad',
    }),
    constants: `
      PRIVCMD_IRQFD_FLAG_DEASSIGN PRIVCMD_IOEVENTFD_FLAG_DEASSIGN
      IOCTL_PRIVCMD_HYPERCALL IOCTL_PRIVCMD_MMAPBATCH_V2 IOCTL_PRIVCMD_DM_OP
      IOCTL_PRIVCMD_RESTRICT IOCTL_PRIVCMD_MMAP_RESOURCE IOCTL_PRIVCMD_IRQFD
      IOCTL_PRIVCMD_IOEVENTFD IOCTL_EVTCHN_BIND_INTERDOMAIN IOCTL_EVTCHN_BIND_UNBOUND_PORT
      IOCTL_EVTCHN_UNBIND IOCTL_EVTCHN_NOTIFY IOCTL_EVTCHN_RESET IOCTL_EVTCHN_RESTRICT_DOMID
      IOCTL_GNTDEV_MAP_GRANT_REF IOCTL_GNTDEV_UNMAP_GRANT_REF`,
  },
  {
    name: 'linux',
    origin: 'Linux uapi',
    prologue: include(
      'linux/virtio_ids.h',
      'linux/virtio_ring.h',
      'linux/virtio_mmio.h',
      'linux/virtio_config.h',
      'linux/virtio_i2c.h',
      'linux/virtio_gpio.h',
      'linux/vhost_types.h',
      'linux/i2c.h',
      'linux/i2c-dev.h',
      'linux/gpio.h',
    ),
    structs: {
      ...plain({
        vring_desc: 'addr len flags next',
        vring_avail: 'flags idx',
        vring_used: 'flags idx',
        vring_used_elem: 'id len',
        vring_packed_desc: 'addr len id flags',
        vring_packed_desc_event: 'off_wrap flags',
        virtio_i2c_out_hdr: 'addr padding flags',
        virtio_i2c_in_hdr: 'status',
        virtio_gpio_config: 'ngpio gpio_names_size',
        virtio_gpio_request: 'type gpio value',
        virtio_gpio_response: 'status value',
        virtio_gpio_irq_request: 'gpio',
        virtio_gpio_irq_response: 'status',
        vhost_vring_state: 'index num',
        vhost_vring_addr:
          'index flags desc_user_addr used_user_addr avail_user_addr log_guest_addr',
        vhost_iotlb_msg: 'iova size uaddr perm type',
        i2c_msg: 'addr flags len buf',
        i2c_rdwr_ioctl_data: 'msgs nmsgs',
        i2c_smbus_ioctl_data: 'read_write command size data',
        gpiochip_info: 'name label lines',
        gpio_v2_line_values: 'bits mask',
        gpio_v2_line_attribute: 'id padding flags',
        gpio_v2_line_config_attribute: 'attr mask',
        gpio_v2_line_config: 'flags num_attrs padding attrs',
        gpio_v2_line_request: 'offsets consumer config num_lines event_buffer_size padding fd',
        gpio_v2_line_info: 'name consumer offset num_attrs flags attrs padding',
        gpio_v2_line_event: 'timestamp_ns id offset seqno line_seqno padding',
      }),
      i2c_smbus_data: ['union i2c_smbus_data', 'byte word block'],
    },
    constants: `
      VIRTIO_ID_NET VIRTIO_ID_BLOCK VIRTIO_ID_CONSOLE VIRTIO_ID_RNG VIRTIO_ID_SCSI VIRTIO_ID_GPU
      VIRTIO_ID_INPUT VIRTIO_ID_VSOCK VIRTIO_ID_SOUND VIRTIO_ID_FS VIRTIO_ID_SCMI
      VIRTIO_ID_I2C_ADAPTER VIRTIO_ID_CAN VIRTIO_ID_GPIO
      VIRTIO_I2C_F_ZERO_LENGTH_REQUEST VIRTIO_I2C_FLAGS_FAIL_NEXT
      VIRTIO_I2C_FLAGS_M_RD VIRTIO_I2C_MSG_OK VIRTIO_I2C_MSG_ERR
      VIRTIO_GPIO_F_IRQ VIRTIO_GPIO_MSG_GET_DIRECTION VIRTIO_GPIO_MSG_SET_DIRECTION
      VIRTIO_GPIO_MSG_GET_VALUE VIRTIO_GPIO_MSG_SET_VALUE VIRTIO_GPIO_STATUS_OK
      VIRTIO_GPIO_STATUS_ERR VIRTIO_GPIO_DIRECTION_NONE VIRTIO_GPIO_DIRECTION_OUT
      VIRTIO_GPIO_DIRECTION_IN VIRTIO_GPIO_IRQ_TYPE_NONE VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING
      VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH
      VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW
      VIRTIO_GPIO_IRQ_STATUS_INVALID VIRTIO_GPIO_IRQ_STATUS_VALID
      VRING_DESC_F_NEXT VRING_DESC_F_WRITE VRING_DESC_F_INDIRECT VRING_AVAIL_F_NO_INTERRUPT
      VRING_USED_F_NO_NOTIFY VRING_DESC_ALIGN_SIZE VRING_AVAIL_ALIGN_SIZE VRING_USED_ALIGN_SIZE
      VIRTIO_RING_F_INDIRECT_DESC VIRTIO_RING_F_EVENT_IDX VIRTIO_F_VERSION_1
      VIRTIO_F_ACCESS_PLATFORM VIRTIO_F_RING_PACKED VIRTIO_F_IN_ORDER VIRTIO_F_ORDER_PLATFORM
      VIRTIO_F_SR_IOV VIRTIO_F_NOTIFICATION_DATA VIRTIO_F_NOTIF_CONFIG_DATA VIRTIO_F_RING_RESET
      VIRTIO_CONFIG_S_ACKNOWLEDGE VIRTIO_CONFIG_S_DRIVER VIRTIO_CONFIG_S_DRIVER_OK
      VIRTIO_CONFIG_S_FEATURES_OK VIRTIO_CONFIG_S_NEEDS_RESET VIRTIO_CONFIG_S_FAILED
      VIRTIO_MMIO_MAGIC_VALUE VIRTIO_MMIO_VERSION VIRTIO_MMIO_DEVICE_ID VIRTIO_MMIO_VENDOR_ID
      VIRTIO_MMIO_DEVICE_FEATURES VIRTIO_MMIO_DEVICE_FEATURES_SEL VIRTIO_MMIO_DRIVER_FEATURES
      VIRTIO_MMIO_DRIVER_FEATURES_SEL VIRTIO_MMIO_QUEUE_SEL VIRTIO_MMIO_QUEUE_NUM_MAX
      VIRTIO_MMIO_QUEUE_NUM VIRTIO_MMIO_QUEUE_READY VIRTIO_MMIO_QUEUE_NOTIFY
      VIRTIO_MMIO_INTERRUPT_STATUS VIRTIO_MMIO_INTERRUPT_ACK VIRTIO_MMIO_STATUS
      VIRTIO_MMIO_QUEUE_DESC_LOW VIRTIO_MMIO_QUEUE_DESC_HIGH VIRTIO_MMIO_QUEUE_AVAIL_LOW
      VIRTIO_MMIO_QUEUE_AVAIL_HIGH VIRTIO_MMIO_QUEUE_USED_LOW VIRTIO_MMIO_QUEUE_USED_HIGH
      VIRTIO_MMIO_SHM_SEL VIRTIO_MMIO_SHM_LEN_LOW VIRTIO_MMIO_SHM_LEN_HIGH
      VIRTIO_MMIO_SHM_BASE_LOW VIRTIO_MMIO_SHM_BASE_HIGH VIRTIO_MMIO_CONFIG_GENERATION
      VIRTIO_MMIO_CONFIG VIRTIO_MMIO_INT_VRING VIRTIO_MMIO_INT_CONFIG
      VHOST_F_LOG_ALL VHOST_VRING_F_LOG
      I2C_M_RD I2C_M_TEN I2C_FUNC_I2C I2C_FUNC_10BIT_ADDR I2C_FUNC_SMBUS_QUICK I2C_FUNC_SMBUS_READ_BYTE
      I2C_FUNC_SMBUS_WRITE_BYTE I2C_FUNC_SMBUS_READ_BYTE_DATA I2C_FUNC_SMBUS_WRITE_BYTE_DATA
      I2C_FUNC_SMBUS_READ_WORD_DATA I2C_FUNC_SMBUS_WRITE_WORD_DATA I2C_FUNC_SMBUS_PROC_CALL
      I2C_FUNC_SMBUS_READ_I2C_BLOCK I2C_FUNC_SMBUS_WRITE_I2C_BLOCK I2C_SMBUS_BLOCK_MAX
      I2C_SMBUS_WRITE I2C_SMBUS_READ I2C_SMBUS_QUICK I2C_SMBUS_BYTE I2C_SMBUS_BYTE_DATA
      I2C_SMBUS_WORD_DATA I2C_SMBUS_PROC_CALL I2C_SMBUS_I2C_BLOCK_DATA
      I2C_SLAVE I2C_TENBIT I2C_FUNCS I2C_RDWR I2C_SMBUS I2C_RDWR_IOCTL_MAX_MSGS
      GPIO_MAX_NAME_SIZE GPIO_V2_LINES_MAX GPIO_V2_LINE_NUM_ATTRS_MAX
      GPIO_V2_LINE_FLAG_USED GPIO_V2_LINE_FLAG_ACTIVE_LOW GPIO_V2_LINE_FLAG_INPUT
      GPIO_V2_LINE_FLAG_OUTPUT GPIO_V2_LINE_FLAG_EDGE_RISING GPIO_V2_LINE_FLAG_EDGE_FALLING
      GPIO_V2_LINE_ATTR_ID_FLAGS GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES GPIO_V2_LINE_ATTR_ID_DEBOUNCE
      GPIO_V2_LINE_EVENT_RISING_EDGE GPIO_V2_LINE_EVENT_FALLING_EDGE
      GPIO_GET_CHIPINFO_IOCTL GPIO_V2_GET_LINEINFO_IOCTL GPIO_V2_GET_LINE_IOCTL
      GPIO_V2_LINE_SET_CONFIG_IOCTL GPIO_V2_LINE_GET_VALUES_IOCTL GPIO_V2_LINE_SET_VALUES_IOCTL`,
  },
  {
    name: 'kvm',
    origin: 'Linux uapi kvm.h',
    prologue: include('stdint.h', 'sys/ioctl.h', 'linux/kvm.h'),
    structs: {
      ...plain({
        kvm_userspace_memory_region: 'slot flags guest_phys_addr memory_size userspace_addr',
        kvm_ioeventfd: 'datamatch addr len fd flags',
        kvm_irqfd: 'fd gsi flags resamplefd',
        kvm_irq_level: 'irq level',
        kvm_msi: 'address_lo address_hi data flags devid',
        kvm_irq_routing: 'nr flags',
        kvm_irq_routing_entry: 'gsi type flags u',
        kvm_irq_routing_irqchip: 'irqchip pin',
        kvm_irq_routing_msi: 'address_lo address_hi data devid',
        kvm_pit_config: 'flags',
        kvm_create_device: 'type fd flags',
        kvm_device_attr: 'flags group attr addr',
        kvm_signal_mask: 'len',
        kvm_one_reg: 'id addr',
      }),
      kvm_run: [
        'struct kvm_run',
        'request_interrupt_window immediate_exit exit_reason ready_for_interrupt_injection if_flag flags cr8 apic_base',
      ],
      kvm_run_mmio: [
        'struct kvm_run',
        'phys_addr=mmio.phys_addr data=mmio.data len=mmio.len is_write=mmio.is_write',
      ],
      kvm_run_io: [
        'struct kvm_run',
        'direction=io.direction size=io.size port=io.port count=io.count data_offset=io.data_offset',
      ],
      kvm_run_fail_entry: [
        'struct kvm_run',
        'hardware_entry_failure_reason=fail_entry.hardware_entry_failure_reason cpu=fail_entry.cpu',
      ],
      kvm_run_internal: [
        'struct kvm_run',
        'suberror=internal.suberror ndata=internal.ndata data=internal.data',
      ],
      kvm_run_system_event: [
        'struct kvm_run',
        'type=system_event.type ndata=system_event.ndata data=system_event.data',
      ],
    },
    constants: `
      KVMIO KVM_API_VERSION KVM_GET_API_VERSION KVM_CREATE_VM KVM_CHECK_EXTENSION
      KVM_GET_VCPU_MMAP_SIZE KVM_CAP_IRQCHIP KVM_CAP_USER_MEMORY KVM_CAP_SET_TSS_ADDR
      KVM_CAP_EXT_CPUID KVM_CAP_NR_VCPUS KVM_CAP_NR_MEMSLOTS KVM_CAP_MP_STATE KVM_CAP_IRQ_ROUTING
      KVM_CAP_IRQFD KVM_CAP_IOEVENTFD KVM_CAP_MAX_VCPUS KVM_CAP_ONE_REG
      KVM_CAP_SIGNAL_MSI KVM_CAP_READONLY_MEM KVM_CAP_IRQFD_RESAMPLE KVM_CAP_DEVICE_CTRL
      KVM_CAP_IOEVENTFD_ANY_LENGTH KVM_CAP_IMMEDIATE_EXIT KVM_MEM_LOG_DIRTY_PAGES KVM_MEM_READONLY
      KVM_IOEVENTFD_FLAG_DATAMATCH KVM_IOEVENTFD_FLAG_PIO KVM_IOEVENTFD_FLAG_DEASSIGN
      KVM_IRQFD_FLAG_DEASSIGN KVM_IRQFD_FLAG_RESAMPLE KVM_MSI_VALID_DEVID KVM_IRQ_ROUTING_IRQCHIP
      KVM_IRQ_ROUTING_MSI KVM_CREATE_DEVICE_TEST KVM_DEV_TYPE_VFIO KVM_DEV_TYPE_ARM_VGIC_V2
      KVM_DEV_TYPE_ARM_VGIC_V3 KVM_DEV_TYPE_ARM_VGIC_ITS KVM_CREATE_VCPU KVM_SET_USER_MEMORY_REGION
      KVM_SET_TSS_ADDR KVM_SET_IDENTITY_MAP_ADDR KVM_CREATE_IRQCHIP KVM_IRQ_LINE
      KVM_SET_GSI_ROUTING KVM_IRQFD KVM_CREATE_PIT2 KVM_IOEVENTFD KVM_SIGNAL_MSI KVM_CREATE_DEVICE
      KVM_SET_DEVICE_ATTR KVM_EXIT_UNKNOWN KVM_EXIT_EXCEPTION KVM_EXIT_IO KVM_EXIT_HYPERCALL
      KVM_EXIT_DEBUG KVM_EXIT_HLT KVM_EXIT_MMIO KVM_EXIT_IRQ_WINDOW_OPEN KVM_EXIT_SHUTDOWN
      KVM_EXIT_FAIL_ENTRY KVM_EXIT_INTR KVM_EXIT_SET_TPR KVM_EXIT_TPR_ACCESS KVM_EXIT_NMI
      KVM_EXIT_INTERNAL_ERROR KVM_EXIT_SYSTEM_EVENT KVM_EXIT_IOAPIC_EOI KVM_EXIT_ARM_NISV
      KVM_EXIT_X86_RDMSR KVM_EXIT_X86_WRMSR KVM_EXIT_IO_IN KVM_EXIT_IO_OUT
      KVM_SYSTEM_EVENT_SHUTDOWN KVM_SYSTEM_EVENT_RESET KVM_SYSTEM_EVENT_CRASH
      KVM_INTERNAL_ERROR_EMULATION KVM_RUN KVM_SET_SIGNAL_MASK KVM_REG_SIZE_SHIFT KVM_REG_SIZE_MASK
      KVM_REG_SIZE_U32 KVM_REG_SIZE_U64 KVM_REG_ARM64 KVM_GET_ONE_REG KVM_SET_ONE_REG`,
  },
  {
    name: 'kvm-x86',
    origin: 'Linux uapi kvm.h of x86',
    target: 'x86_64',
    prologue: include('stdint.h', 'sys/ioctl.h', 'linux/kvm.h'),
    structs: plain({
      kvm_regs: 'rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags',
      kvm_segment: 'base limit selector type present dpl db s l g avl unusable',
      kvm_dtable: 'base limit',
      kvm_sregs: `
        cs ds es fs gs ss tr ldt gdt idt cr0 cr2 cr3 cr4 cr8 efer apic_base interrupt_bitmap`,
      kvm_cpuid2: 'nent',
      kvm_cpuid_entry2: 'function index flags eax ebx ecx edx',
    }),
    constants: `
      KVM_CAP_PIT2 KVM_GET_SUPPORTED_CPUID KVM_GET_REGS KVM_SET_REGS KVM_GET_SREGS KVM_SET_SREGS KVM_SET_CPUID2
      KVM_GET_CPUID2`,
  },
  {
    name: 'kvm-arm',
    origin: 'Linux uapi kvm.h of arm64',
    target: 'arm64',
    prologue: include('stdint.h', 'sys/ioctl.h', 'linux/kvm.h'),
    structs: plain({ kvm_vcpu_init: 'target features' }),
    constants: `
      KVM_REG_ARM_CORE KVM_ARM_VCPU_POWER_OFF KVM_ARM_VCPU_PSCI_0_2 KVM_DEV_ARM_VGIC_GRP_ADDR
      KVM_DEV_ARM_VGIC_GRP_NR_IRQS KVM_DEV_ARM_VGIC_GRP_CTRL KVM_DEV_ARM_VGIC_CTRL_INIT
      KVM_VGIC_V2_ADDR_TYPE_DIST KVM_VGIC_V2_ADDR_TYPE_CPU KVM_VGIC_V3_ADDR_TYPE_DIST
      KVM_VGIC_V3_ADDR_TYPE_REDIST KVM_ARM_IRQ_TYPE_SHIFT KVM_ARM_IRQ_TYPE_SPI KVM_ARM_IRQ_TYPE_PPI
      KVM_ARM_VCPU_INIT KVM_ARM_PREFERRED_TARGET`,
  },
  {
    name: 'libc',
    origin: 'C library',
    prologue: [
      ...include('errno.h', 'fcntl.h', 'limits.h', 'sys/epoll.h', 'sys/eventfd.h'),
      ...include('sys/mman.h', 'sys/socket.h', 'sys/timerfd.h', 'sys/uio.h', 'sys/un.h'),
    ],
    structs: plain({
      iovec: 'iov_base iov_len',
      msghdr: 'msg_name msg_namelen msg_iov msg_iovlen msg_control msg_controllen msg_flags',
      cmsghdr: 'cmsg_len cmsg_level cmsg_type',
      sockaddr_un: 'sun_family sun_path',
      epoll_event: 'events data',
      itimerspec: `
        it_interval_sec=it_interval.tv_sec it_interval_nsec=it_interval.tv_nsec
        it_value_sec=it_value.tv_sec it_value_nsec=it_value.tv_nsec`,
    }),
    constants: `
      E2BIG EACCES EADDRINUSE EAGAIN EBADF EBUSY ECONNREFUSED ECONNRESET EEXIST EFAULT EFBIG
      EINPROGRESS EINTR EINVAL EIO EMFILE EMSGSIZE ENODEV ENOENT ENOMEM ENOSPC ENOSYS ENOTCONN
      ENOTTY ENXIO EOPNOTSUPP EPERM EPIPE EPROTO EREMOTEIO ESRCH ETIMEDOUT
      EFD_CLOEXEC EFD_NONBLOCK EFD_SEMAPHORE
      EPOLLIN EPOLLOUT EPOLLERR EPOLLHUP EPOLLRDHUP EPOLLET
      F_ADD_SEALS F_GET_SEALS F_SEAL_SEAL F_SEAL_SHRINK F_SEAL_GROW F_SEAL_WRITE
      F_SEAL_FUTURE_WRITE MFD_CLOEXEC MFD_ALLOW_SEALING MFD_HUGETLB
      MAP_SHARED MAP_PRIVATE MAP_FIXED MAP_ANONYMOUS MAP_LOCKED MAP_NORESERVE MAP_POPULATE
      PROT_NONE PROT_READ PROT_WRITE PROT_EXEC O_NONBLOCK IOV_MAX
      SOL_SOCKET SCM_RIGHTS MSG_CTRUNC MSG_DONTWAIT MSG_NOSIGNAL MSG_CMSG_CLOEXEC`,
  },
];
