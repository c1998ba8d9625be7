/*
 * Board "host": the firmware as a process. Mailbox, application and arena lie in a file that the
 * harness maps too. First it writes the address where it mapped that file (8 bytes) to standard
 * output; then one byte whenever it is idle, and serves when it reads one from standard input. A
 * crash or an endless loop is the end of this process, not of the harness.
 *
 *   picotrain-host MEMORY-FILE ARENA-BYTES
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

int main(int argc, char **argv)
{
    if (argc != 3) {
        (void)fprintf(stderr, "usage: %s MEMORY-FILE ARENA-BYTES\n", argv[0]);
        return EXIT_FAILURE;
    }
    const unsigned long arena_size = strtoul(argv[2], NULL, 10);
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
    const uint64_t base = (uintptr_t)memory;
    if (write(STDOUT_FILENO, &base, sizeof base) != sizeof base) {
        return fail("standard output");
    }
    const struct pt_board_memory parts = {memory->arena, (uint32_t)arena_size, 0, 0, 0};
    pt_app_start(&memory->app, &memory->mailbox, &parts);
    for (;;) {
        pt_board_idle();
        /* Validation may read the blob and nothing behind it; tell the sanitizer so. */
        const uint32_t blob = memory->mailbox.argument[0];
        if (memory->mailbox.command == PT_CMD_LOAD_MODEL && blob < arena_size) {
            ASAN_POISON_MEMORY_REGION(memory->arena + blob, arena_size - blob);
        }
        pt_app_serve(&memory->app);
        ASAN_UNPOISON_MEMORY_REGION(memory->arena, arena_size);
    }
}
