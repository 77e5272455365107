/*
 * Firmware of Xen HVM guests that have no device model: xl's `firmware_override=`, in the place of
 * hvmloader, which does not boot without QEMU's PCI host bridge. It puts a Linux kernel to its
 * addresses, describes memory and interrupts to it and jumps to its PVH entry. No ACPI tables: an MP
 * table says what hvmloader's MADT would say.
 *
 * libxl starts it like a PVH kernel: 32 bits, flat segments, no paging, interrupts off. At the next
 * page behind it libxl puts the file that xl's `smbios_firmware=` names. It is two files of
 * boot-image.ts in a row: a page with the command line, which is one guest's own, and the boot image,
 * which serves all. All numbers are little-endian.
 *
 * What it says goes to port 0xe9, which Xen prints on its own console.
 */
#include <stdint.h>

#define PAGE_SIZE 4096u

/* The boot image. */
struct segment {
  uint32_t offset; /* from the start of the image */
  uint32_t address;
  uint32_t file_size;
  uint32_t memory_size; /* what is beyond `file_size` is zero */
};

struct boot_image {
  uint32_t magic;
  uint32_t entry;
  uint32_t initramfs_offset;
  uint32_t initramfs_size;
  uint32_t segment_count;
  struct segment segments[];
};

/* The page in front of it. */
struct command_line {
  uint32_t magic;
  char text[]; /* zero-terminated */
};

#define IMAGE_MAGIC 0x494d564eu        /* "NVMI" */
#define COMMAND_LINE_MAGIC 0x434d564eu /* "NVMC" */

/* xen/include/public/arch-x86/hvm/start_info.h */
struct hvm_start_info {
  uint32_t magic;
  uint32_t version;
  uint32_t flags;
  uint32_t nr_modules;
  uint64_t modlist_paddr;
  uint64_t cmdline_paddr;
  uint64_t rsdp_paddr;
  uint64_t memmap_paddr;
  uint32_t memmap_entries;
  uint32_t reserved;
};

struct hvm_modlist_entry {
  uint64_t paddr;
  uint64_t size;
  uint64_t cmdline_paddr;
  uint64_t reserved;
};

struct hvm_memmap_table_entry {
  uint64_t addr;
  uint64_t size;
  uint32_t type;
  uint32_t reserved;
};

#define XEN_HVM_START_MAGIC_VALUE 0x336ec578u
#define XEN_HVM_MEMMAP_TYPE_RAM 1
#define XEN_HVM_MEMMAP_TYPE_RESERVED 2

/* xen/include/public/hvm/hvm_info_table.h: what libxl tells firmware about the guest. */
struct hvm_info_table {
  char signature[8];
  uint32_t length;
  uint8_t checksum;
  uint8_t apic_mode;
  uint32_t nr_vcpus;
  uint32_t low_mem_pgend;
  uint32_t reserved_mem_pgstart;
  uint32_t high_mem_pgend;
};

#define HVM_INFO_PAGE 0x9f000u
#define HVM_INFO ((const struct hvm_info_table *)(HVM_INFO_PAGE + 0x800))

/* Intel's MultiProcessor Specification 1.4, chapter 4. */
struct mp_floating_pointer {
  char signature[4];
  uint32_t table;
  uint8_t length; /* in units of 16 bytes */
  uint8_t revision;
  uint8_t checksum;
  uint8_t features[5];
};

struct mp_table {
  char signature[4];
  uint16_t length;
  uint8_t revision;
  uint8_t checksum;
  char oem[8];
  char product[12];
  uint32_t oem_table;
  uint16_t oem_table_size;
  uint16_t entry_count;
  uint32_t local_apic;
  uint32_t extension;
};

struct mp_processor {
  uint8_t type;
  uint8_t apic_id;
  uint8_t apic_version;
  uint8_t flags;
  uint32_t signature;
  uint32_t features;
  uint32_t reserved[2];
};

struct mp_bus {
  uint8_t type;
  uint8_t id;
  char name[6];
};

struct mp_io_apic {
  uint8_t type;
  uint8_t id;
  uint8_t version;
  uint8_t flags;
  uint32_t address;
};

/* Types 3, for a pin of the IO-APIC, and 4, for one of a local APIC. */
struct mp_interrupt {
  uint8_t type;
  uint8_t kind;
  uint16_t flags;
  uint8_t bus;
  uint8_t line;
  uint8_t apic_id;
  uint8_t pin;
};

enum { MP_PROCESSOR, MP_BUS, MP_IO_APIC, MP_IO_INTERRUPT, MP_LOCAL_INTERRUPT };
enum { MP_INT, MP_NMI, MP_SMI, MP_EXTINT };

#define MP_ENABLED 1
#define MP_BOOT_PROCESSOR 2
#define MP_LEVEL_LOW 0xf
#define MP_ALL_APICS 0xff

/* Where Linux looks for it; nothing else is there. */
#define MP_ADDRESS 0xf0000u

/* Xen's emulated hardware, as hvmloader sets it up. */
#define LOCAL_APIC 0xfee00000u
#define LOCAL_APIC_VERSION 0x14
#define IO_APIC 0xfec00000u
#define IO_APIC_VERSION 0x11
#define IO_APIC_ID 1
#define ISA_BUS 0
/* Lines that hvmloader's firmware says are level-triggered: those that PCI devices may use. */
#define LEVEL_LINES (1u << 5 | 1u << 10 | 1u << 11)

extern const char shim_begin[], shim_end[];

static struct hvm_start_info start_info;
static struct hvm_modlist_entry initramfs;
static struct hvm_memmap_table_entry memory_map[5];

__asm__(".pushsection .text.start, \"ax\"\n"
        ".globl shim_start\n"
        ".globl shim_begin\n"
        "shim_begin:\n"
        "shim_start:\n"
        "  cli\n"
        "  cld\n"
        "  mov $stack_top, %esp\n"
        "  call shim_main\n"
        ".popsection\n"
        ".pushsection .bss\n"
        ".balign 16\n"
        ".space 4096\n"
        "stack_top:\n"
        ".popsection\n");

/* The compiler may call these by their names. */
void *memcpy(void *to, const void *from, uint32_t size) {
  void *result = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
  return result;
}

void *memset(void *to, int byte, uint32_t size) {
  void *result = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
  return result;
}

static void say(const char *text) {
  for (; *text != 0; text++) __asm__ volatile("outb %0, $0xe9" : : "a"(*text));
}

static void say_number(uint32_t value) {
  char text[] = "0x00000000";
  for (int digit = 0; digit < 8; digit++) {
    text[9 - digit] = "0123456789abcdef"[value >> (4 * digit) & 15];
  }
  say(text);
}

static _Noreturn void fail(const char *why) {
  say("shim: Cannot boot: ");
  say(why);
  say("\n");
  for (;;) __asm__ volatile("cli; hlt");
}

static const void *next_page(const void *address) {
  return (const void *)(((uint32_t)address + PAGE_SIZE - 1) & -PAGE_SIZE);
}

static uint8_t checksum(const void *bytes, uint32_t size) {
  uint8_t sum = 0;
  for (const uint8_t *byte = bytes; size > 0; size--) sum += *byte++;
  return -sum;
}

static void load_segments(const struct boot_image *image) {
  for (uint32_t index = 0; index < image->segment_count; index++) {
    const struct segment *segment = &image->segments[index];
    char *to = (char *)segment->address;
    if (to + segment->memory_size > shim_begin) fail("the kernel reaches into the shim");
    memcpy(to, (const char *)image + segment->offset, segment->file_size);
    memset(to + segment->file_size, 0, segment->memory_size - segment->file_size);
  }
}

static void add_memory(uint64_t start, uint64_t end, uint32_t type) {
  if (start >= end) return;
  memory_map[start_info.memmap_entries++] =
      (struct hvm_memmap_table_entry){.addr = start, .size = end - start, .type = type};
}

static void make_memory_map(void) {
  uint64_t four_gib = 1ull << 32;
  add_memory(0, HVM_INFO_PAGE, XEN_HVM_MEMMAP_TYPE_RAM);
  add_memory(HVM_INFO_PAGE, 0x100000, XEN_HVM_MEMMAP_TYPE_RESERVED);
  add_memory(0x100000, (uint64_t)HVM_INFO->low_mem_pgend * PAGE_SIZE, XEN_HVM_MEMMAP_TYPE_RAM);
  add_memory((uint64_t)HVM_INFO->reserved_mem_pgstart * PAGE_SIZE, four_gib,
             XEN_HVM_MEMMAP_TYPE_RESERVED);
  add_memory(four_gib, (uint64_t)HVM_INFO->high_mem_pgend * PAGE_SIZE, XEN_HVM_MEMMAP_TYPE_RAM);
}

static void *add_entry(struct mp_table *table, const void *entry, uint32_t size) {
  char *to = (char *)table + table->length;
  memcpy(to, entry, size);
  table->length += size;
  table->entry_count++;
  return to;
}

static void add_interrupt(struct mp_table *table, struct mp_interrupt interrupt) {
  add_entry(table, &interrupt, sizeof(interrupt));
}

static void make_mp_table(void) {
  struct mp_floating_pointer *pointer = (void *)MP_ADDRESS;
  struct mp_table *table = (void *)(pointer + 1);
  uint32_t signature, ignored, features;
  __asm__("cpuid" : "=a"(signature), "=d"(features), "=b"(ignored), "=c"(ignored) : "a"(1), "c"(0));

  *table = (struct mp_table){.signature = "PCMP",
                             .length = sizeof(*table),
                             .revision = 4,
                             .oem = "NODE-VMM",
                             .product = "XEN HVM SHIM",
                             .local_apic = LOCAL_APIC};
  for (uint32_t vcpu = 0; vcpu < HVM_INFO->nr_vcpus; vcpu++) {
    struct mp_processor processor = {.type = MP_PROCESSOR,
                                     .apic_id = vcpu * 2, /* Xen's rule */
                                     .apic_version = LOCAL_APIC_VERSION,
                                     .flags = MP_ENABLED | (vcpu == 0 ? MP_BOOT_PROCESSOR : 0),
                                     .signature = signature,
                                     .features = features};
    add_entry(table, &processor, sizeof(processor));
  }
  struct mp_bus isa = {.type = MP_BUS, .id = ISA_BUS, .name = "ISA   "};
  add_entry(table, &isa, sizeof(isa));
  struct mp_io_apic io_apic = {.type = MP_IO_APIC,
                               .id = IO_APIC_ID,
                               .version = IO_APIC_VERSION,
                               .flags = MP_ENABLED,
                               .address = IO_APIC};
  add_entry(table, &io_apic, sizeof(io_apic));
  for (uint32_t line = 0; line < 16; line++) {
    if (line == 2) continue; /* the second PIC is behind it, and the timer on its pin */
    add_interrupt(table, (struct mp_interrupt){.type = MP_IO_INTERRUPT,
                                               .kind = MP_INT,
                                               .flags = LEVEL_LINES >> line & 1 ? MP_LEVEL_LOW : 0,
                                               .bus = ISA_BUS,
                                               .line = line,
                                               .apic_id = IO_APIC_ID,
                                               .pin = line == 0 ? 2 : line});
  }
  add_interrupt(table, (struct mp_interrupt){
                           .type = MP_LOCAL_INTERRUPT, .kind = MP_EXTINT, .apic_id = 0, .pin = 0});
  add_interrupt(table, (struct mp_interrupt){.type = MP_LOCAL_INTERRUPT,
                                             .kind = MP_NMI,
                                             .apic_id = MP_ALL_APICS,
                                             .pin = 1});
  table->checksum = checksum(table, table->length);

  *pointer = (struct mp_floating_pointer){
      .signature = "_MP_", .table = (uint32_t)table, .length = 1, .revision = 4};
  pointer->checksum = checksum(pointer, sizeof(*pointer));
}

/* The table's number for the IO-APIC becomes its own. */
static void name_io_apic(void) {
  *(volatile uint32_t *)IO_APIC = 0;
  *(volatile uint32_t *)(IO_APIC + 0x10) = IO_APIC_ID << 24;
}

_Noreturn void shim_main(void) {
  const struct command_line *command_line = next_page(shim_end);
  const struct boot_image *image = (const void *)((const char *)command_line + PAGE_SIZE);
  if (command_line->magic != COMMAND_LINE_MAGIC) fail("no command line in smbios_firmware=");
  if (image->magic != IMAGE_MAGIC) fail("no boot image in smbios_firmware=");

  load_segments(image);
  initramfs.paddr = (uint32_t)image + image->initramfs_offset;
  initramfs.size = image->initramfs_size;
  start_info.magic = XEN_HVM_START_MAGIC_VALUE;
  start_info.version = 1;
  start_info.nr_modules = 1;
  start_info.modlist_paddr = (uint32_t)&initramfs;
  start_info.cmdline_paddr = (uint32_t)command_line->text;
  start_info.memmap_paddr = (uint32_t)memory_map;
  make_memory_map();
  make_mp_table();
  name_io_apic();

  say("shim: kernel entry ");
  say_number(image->entry);
  say(", memory below 4 GiB ends at ");
  say_number(HVM_INFO->low_mem_pgend * PAGE_SIZE);
  say(", vCPUs ");
  say_number(HVM_INFO->nr_vcpus);
  say("\n");
  __asm__ volatile("jmp *%0" : : "r"(image->entry), "b"(&start_info) : "memory");
  __builtin_unreachable();
}
