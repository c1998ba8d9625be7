/*
 * Board "host": the firmware as a process, with its memory in one of two places.
 *
 *   picotrain-host MEMORY-FILE ARENA-BYTES FLASH-BYTES
 *
 * Mailbox, application and arena lie in a file that the harness maps too; from the next page on it
 * holds the flash, which is read-only here. First the process writes the two addresses where it
 * mapped them (8 bytes each) to standard output; then one byte whenever it is idle, and serves when
 * it reads one from standard input. A crash or an endless loop is the end of this process, not of
 * the harness.
 *
 *   picotrain-host --link PORT ARENA-BYTES FLASH-BYTES
 *
 * The memory is the process's own, and reached through the serial link alone (boards/host/wire.h):
 * at a TCP port of 127.0.0.1 (0: any; the process prints which), or on standard input and output
 * where PORT is "-".
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
#include "app/pt_link.h"
#include "boards/host/build_id.h"
#include "boards/host/death.h"
#include "boards/host/wire.h"
#ifdef PT_HOST_VECTORS
#include "kernels/vector/pt_kept.h"
#endif

#if defined(__has_feature) /* clang's way to say it */
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
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
    struct pt_host_death death;
    _Alignas(64) uint8_t arena[];
};

uint32_t pt_board_stack_used(void)
{
    return 0;
}

struct pt_board_code pt_board_code(void)
{
    return (struct pt_board_code){0};
}

void pt_board_alive(void)
{
    pt_wire_alive();
}

uint64_t pt_board_cycles(void)
{
    return 0;
}

void pt_board_idle(void)
{
    if (pt_wire_is_open()) {
        pt_wire_wait();
        return;
    }
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

/* Validation may read the blob and nothing behind it; tell the sanitizer so. Where a model is
 * loaded already, the command is refused, and what lies there is in use. */
static void poison_behind_blob(const struct pt_app *app)
{
    const struct pt_mailbox *mailbox = app->mailbox;
    const struct pt_board_memory *parts = &app->memory;
    const uint32_t blob = mailbox->argument[0];
    const int frozen = mailbox->argument[1] == PT_PLACE_FLASH;
    const uint8_t *memory = frozen ? parts->flash : parts->arena;
    const uint32_t size = frozen ? parts->flash_size : parts->arena_size;
    const bool posted = mailbox->command == PT_CMD_LOAD_MODEL;
    if (posted && app->trainer.state == PT_STATE_EMPTY && blob < size) {
        ASAN_POISON_MEMORY_REGION(memory + blob, size - blob);
    }
}

/* Of flash from the rest, so that a kernel that keeps it in 32 bits shows. */
static const uintptr_t FAR = (uintptr_t)16 << 30;

static struct pt_host_memory *map_shared(char **argv, size_t size, uint8_t **flash,
                                         size_t flash_size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const int file = open(argv[1], O_RDWR | O_CLOEXEC);
    if (file < 0) {
        return NULL;
    }
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    void *frozen = mmap((void *)((uintptr_t)memory - FAR), flash_size, PROT_READ, MAP_SHARED, file,
                        (off_t)((size + page - 1u) / page * page));
    if (memory == MAP_FAILED || frozen == MAP_FAILED) {
        return NULL;
    }
    const uint64_t bases[] = {(uintptr_t)memory, (uintptr_t)frozen};
    *flash = frozen;
    return write(STDOUT_FILENO, bases, sizeof bases) == sizeof bases ? memory : NULL;
}

static struct pt_host_memory *own_memory(size_t size)
{
    const size_t line = _Alignof(struct pt_host_memory);
    void *memory = aligned_alloc(line, (size + line - 1u) / line * line);
    return memory == NULL ? NULL : memset(memory, 0, size);
}

int main(int argc, char **argv)
{
    const bool linked = argc > 1 && strcmp(argv[1], "--link") == 0;
    if (linked ? argc != PT_WIRE_ARGUMENTS && argc != PT_WIRE_RESTARTED : argc != 4) {
        (void)fprintf(stderr,
                      "usage: %s MEMORY-FILE ARENA-BYTES FLASH-BYTES\n"
                      "       %s --link PORT ARENA-BYTES FLASH-BYTES\n",
                      argv[0], argv[0]);
        return EXIT_FAILURE;
    }
    const uint32_t arena_size = (uint32_t)strtoul(argv[linked ? 3 : 2], NULL, 10);
    const uint32_t flash_size = (uint32_t)strtoul(argv[linked ? 4 : 3], NULL, 10);
    const size_t size = sizeof(struct pt_host_memory) + arena_size;
    uint32_t reset = PT_RESET_POWER;
    uint8_t *flash = linked ? pt_wire_open(argc, argv, flash_size, &reset) : NULL;
    struct pt_host_memory *memory =
        linked ? own_memory(size) : map_shared(argv, size, &flash, flash_size);
    if (memory == NULL || flash == NULL) {
        return fail(linked ? argv[2] : argv[1]);
    }
#if !defined(__SANITIZE_ADDRESS__)
    if (!linked) {
        pt_host_watch(&memory->death);
    }
#endif
    const struct pt_board_memory parts = {
        memory->arena, arena_size, 0, 0, 0, flash, flash_size, NULL, 0,
    };
    struct pt_link_hello hello = {
        .magic = PT_LINK_MAGIC,
        .version = PT_LINK_VERSION,
        .mailbox = (uintptr_t)&memory->mailbox,
        .payload = PT_LINK_PAYLOAD,
        .reset = reset,
    };
    static struct pt_link link;
    pt_build_id(hello.build, sizeof hello.build);
    pt_link_start(&link, 0, &memory->mailbox, &hello);
    pt_app_start(&memory->app, &memory->mailbox, &parts);
    for (;;) {
        pt_board_alive();
        pt_board_idle();
        if (linked) {
            pt_link_serve(&link);
        }
        poison_behind_blob(&memory->app);
#ifdef PT_HOST_VECTORS
        pt_kept_begin();
#endif
        pt_app_serve(&memory->app);
#ifdef PT_HOST_VECTORS
        pt_kept_end();
#endif
        ASAN_UNPOISON_MEMORY_REGION(memory->arena, arena_size);
        ASAN_UNPOISON_MEMORY_REGION(flash, flash_size);
    }
}
