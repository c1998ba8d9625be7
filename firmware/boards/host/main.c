/*
 * Board "host": the firmware as a process. Mailbox, application and arena lie in a file that the
 * harness maps too; from the next page on it holds the flash, which is read-only here. First it
 * writes the two addresses where it mapped them (8 bytes each) to standard output; then one byte
 * whenever it is idle, and serves when it reads one from standard input. A crash or an endless loop
 * is the end of this process, not of the harness.
 *
 *   picotrain-host MEMORY-FILE ARENA-BYTES FLASH-BYTES
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "app/pt_app.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

/* The start of the file. */
struct pt_host_memory {
    struct pt_mailbox mailbox;
    struct pt_app app;
    _Alignas(64) uint8_t arena[];
};

uint32_t pt_board_stack_used(void)
{
    return 0;
}

void pt_board_alive(void)
{
}

uint64_t pt_board_cycles(void)
{
    return 0;
}

void pt_board_idle(void)
{
    const char idle = 'i';
    char run;
    if (write(STDOUT_FILENO, &idle, 1) != 1 || read(STDIN_FILENO, &run, 1) != 1) {
        exit(EXIT_SUCCESS); /* the harness is gone */
    }
}

static int fail(const char *what)
{
    (void)fprintf(stderr, "picotrain-host: %s: %s\n", what, strerror(errno));
    return EXIT_FAILURE;
}

/* Validation may read the blob and nothing behind it; tell the sanitizer so. */
static void poison_behind_blob(const struct pt_mailbox *mailbox,
                               const struct pt_board_memory *parts)
{
    const uint32_t blob = mailbox->argument[0];
    const int frozen = mailbox->argument[1] == PT_PLACE_FLASH;
    const uint8_t *memory = frozen ? parts->flash : parts->arena;
    const uint32_t size = frozen ? parts->flash_size : parts->arena_size;
    if (mailbox->command == PT_CMD_LOAD_MODEL && blob < size) {
        ASAN_POISON_MEMORY_REGION(memory + blob, size - blob);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        (void)fprintf(stderr, "usage: %s MEMORY-FILE ARENA-BYTES FLASH-BYTES\n", argv[0]);
        return EXIT_FAILURE;
    }
    const unsigned long arena_size = strtoul(argv[2], NULL, 10);
    const unsigned long flash_size = strtoul(argv[3], NULL, 10);
    const size_t size = sizeof(struct pt_host_memory) + arena_size;
    const int file = open(argv[1], O_RDWR | O_CLOEXEC);
    if (file < 0) {
        return fail(argv[1]);
    }
    struct pt_host_memory *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) {
        return fail("mmap");
    }
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *flash = mmap(NULL, flash_size, PROT_READ, MAP_SHARED, file,
                          (off_t)((size + page - 1u) / page * page));
    if (flash == MAP_FAILED) {
        return fail("mmap of the flash");
    }
    const uint64_t bases[] = {(uintptr_t)memory, (uintptr_t)flash};
    if (write(STDOUT_FILENO, bases, sizeof bases) != sizeof bases) {
        return fail("standard output");
    }
    const struct pt_board_memory parts = {
        memory->arena, (uint32_t)arena_size, 0, 0, 0, flash, (uint32_t)flash_size, NULL, 0,
    };
    pt_app_start(&memory->app, &memory->mailbox, &parts);
    for (;;) {
        pt_board_idle();
        poison_behind_blob(&memory->mailbox, &parts);
        pt_app_serve(&memory->app);
        ASAN_UNPOISON_MEMORY_REGION(memory->arena, arena_size);
        ASAN_UNPOISON_MEMORY_REGION(flash, flash_size);
    }
}
