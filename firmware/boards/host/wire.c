#define _POSIX_C_SOURCE 200809L

#include "boards/host/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/pt_board.h"
#include "app/pt_link.h"

#define WATCHDOG_SECONDS 2u
#define WAIT_MILLISECONDS 500
#define SEND_MILLISECONDS 1000
#define FLASH_SECTOR 4096u
#define NONE (-1)

/* Where what a restart adds begins in the command line; decimal numbers as text. */
enum added { REASON = PT_WIRE_ARGUMENTS, LISTENER, CLIENT, FLASH };
enum { DIGITS = 12 };

static struct {
    bool open;
    bool piped;
    int listener;
    int client;
    uint8_t *flash;
    uint32_t flash_size;
    uint32_t coming; /* bytes of the harness's piece that have not been read yet */
    uint32_t taken;  /* of `received` */
    uint32_t received_size;
    uint32_t sent_size;
    uint8_t received[1u << 16];
    uint8_t sent[1u << 16];
} wire;

static struct {
    char *argument[PT_WIRE_RESTARTED + 1];
    char text[PT_WIRE_RESTARTED - PT_WIRE_ARGUMENTS][DIGITS];
} again;

/* Standard input and output */

static void read_all(void *to, size_t size)
{
    uint8_t *at = to;
    while (size != 0u) {
        const ssize_t count = read(STDIN_FILENO, at, size);
        if (count <= 0) {
            exit(EXIT_SUCCESS); /* the harness is gone */
        }
        at += count;
        size -= (size_t)count;
    }
}

static void write_all(const void *from, size_t size)
{
    const uint8_t *at = from;
    while (size != 0u) {
        const ssize_t count = write(STDOUT_FILENO, at, size);
        if (count <= 0) {
            exit(EXIT_SUCCESS);
        }
        at += count;
        size -= (size_t)count;
    }
}

static void flush_piece(void)
{
    if (wire.sent_size != 0u) {
        write_all(&wire.sent_size, sizeof wire.sent_size);
        write_all(wire.sent, wire.sent_size);
        wire.sent_size = 0;
    }
}

static void wait_piece(void)
{
    static bool first = true;
    if (wire.coming == 0u) {
        const uint32_t end = 0;
        flush_piece();
        if (!first) {
            write_all(&end, sizeof end);
        }
        first = false;
        read_all(&wire.coming, sizeof wire.coming);
    }
    wire.taken = 0;
    wire.received_size =
        wire.coming < sizeof wire.received ? wire.coming : (uint32_t)sizeof wire.received;
    wire.coming -= wire.received_size;
    read_all(wire.received, wire.received_size);
}

/* TCP */

static void set_client(int client)
{
    wire.client = client;
    (void)snprintf(again.text[CLIENT - REASON], DIGITS, "%d", client);
}

static void drop_client(void)
{
    (void)close(wire.client);
    set_client(NONE);
    wire.sent_size = 0;
}

/* Bounded: a client that takes nothing loses what was for it. */
static void flush_client(void)
{
    const uint8_t *at = wire.sent;
    size_t left = wire.sent_size;
    wire.sent_size = 0;
    while (left != 0u && wire.client != NONE) {
        struct pollfd ready = {wire.client, POLLOUT, 0};
        if (poll(&ready, 1, SEND_MILLISECONDS) <= 0) {
            return;
        }
        const ssize_t count = send(wire.client, at, left, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && errno != EAGAIN && errno != EINTR) {
            drop_client();
        } else if (count > 0) {
            at += count;
            left -= (size_t)count;
        }
    }
}

static void wait_client(void)
{
    flush_client();
    struct pollfd ready = {wire.client == NONE ? wire.listener : wire.client, POLLIN, 0};
    if (poll(&ready, 1, WAIT_MILLISECONDS) <= 0) {
        return;
    }
    if (wire.client == NONE) {
        const int on = 1;
        set_client(accept(wire.listener, NULL, NULL));
        (void)setsockopt(wire.client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return;
    }
    const ssize_t count = recv(wire.client, wire.received, sizeof wire.received, MSG_DONTWAIT);
    if (count > 0) {
        wire.received_size = (uint32_t)count;
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
        drop_client();
    }
}

static int listen_at(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    const int on = 1;
    address.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 ||
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(listener, (const struct sockaddr *)&address, size) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        return NONE;
    }
    (void)printf("%u\n", (unsigned)ntohs(address.sin_port));
    (void)fflush(stdout);
    return listener;
}

/* Resets. A program takes the place of this one, with its open files. */

static void start_again(enum pt_reset_reason reason)
{
    again.text[0][0] = (char)('0' + (int)reason);
    (void)execv(again.argument[0], again.argument);
    _exit(EXIT_FAILURE);
}

static void on_signal(int number)
{
    start_again(number == SIGALRM ? PT_RESET_WATCHDOG : PT_RESET_FAULT);
}

static void prepare_restart(char **argv, int flash)
{
    static const int signals[] = {SIGALRM, SIGILL, SIGTRAP}; /* the last two: what a trap raises */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER};
    for (int i = 0; i < PT_WIRE_ARGUMENTS; ++i) {
        again.argument[i] = argv[i];
    }
    for (int i = PT_WIRE_ARGUMENTS; i < PT_WIRE_RESTARTED; ++i) {
        again.argument[i] = again.text[i - PT_WIRE_ARGUMENTS];
    }
    (void)snprintf(again.text[LISTENER - REASON], DIGITS, "%d", wire.listener);
    (void)snprintf(again.text[FLASH - REASON], DIGITS, "%d", flash);
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; ++i) {
        (void)sigaction(signals[i], &action, NULL);
    }
}

/* Opening */

static int new_flash(uint32_t size)
{
    FILE *file = tmpfile(); /* without a name; stays open as long as this process */
    if (file == NULL || ftruncate(fileno(file), (off_t)size) != 0) {
        return NONE;
    }
    /* A page without room would kill this process when it is first touched. */
    errno = posix_fallocate(fileno(file), 0, (off_t)size);
    return errno == 0 ? fileno(file) : NONE;
}

uint8_t *pt_wire_open(int argc, char **argv, uint32_t flash_size, uint32_t *reset)
{
    const bool fresh = argc != PT_WIRE_RESTARTED;
    const int flash = fresh ? new_flash(flash_size) : atoi(argv[FLASH]);
    if (flash == NONE) {
        (void)fprintf(stderr, "picotrain-host: no room for %u bytes of flash in a temporary file\n",
                      (unsigned)flash_size);
        return NULL;
    }
    void *memory = mmap(NULL, flash_size, PROT_READ | PROT_WRITE, MAP_SHARED, flash, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    if (fresh) {
        memset(memory, 0xff, flash_size);
    }
    wire.piped = strcmp(argv[2], "-") == 0;
    wire.client = NONE;
    wire.flash = memory;
    wire.flash_size = flash_size;
    *reset = fresh ? PT_RESET_POWER : (uint32_t)atoi(argv[REASON]);
    if (!wire.piped) {
        wire.listener = fresh ? listen_at(argv[2]) : atoi(argv[LISTENER]);
        if (wire.listener == NONE) {
            return NULL;
        }
        prepare_restart(argv, flash);
        set_client(fresh ? NONE : atoi(argv[CLIENT]));
    }
    wire.open = true;
    pt_wire_alive();
    return memory;
}

bool pt_wire_is_open(void)
{
    return wire.open;
}

void pt_wire_wait(void)
{
    if (wire.taken < wire.received_size) {
        return;
    }
    wire.taken = wire.received_size = 0;
    if (wire.piped) {
        wait_piece();
    } else {
        wait_client();
    }
}

void pt_wire_alive(void)
{
    if (wire.open && !wire.piped) {
        (void)alarm(WATCHDOG_SECONDS);
    }
}

/* What the link asks of a board */

uint32_t pt_board_receive(uint32_t port, uint8_t *to, uint32_t room)
{
    const uint32_t left = port == 0u ? wire.received_size - wire.taken : 0u;
    const uint32_t count = left < room ? left : room;
    memcpy(to, wire.received + wire.taken, count);
    wire.taken += count;
    return count;
}

void pt_board_send(uint32_t port, const uint8_t *from, uint32_t size)
{
    if (port != 0u) {
        return;
    }
    if (size > sizeof wire.sent - wire.sent_size) {
        if (wire.piped) {
            flush_piece();
        } else {
            flush_client();
        }
    }
    memcpy(wire.sent + wire.sent_size, from, size);
    wire.sent_size += size;
}

void pt_board_restart(enum pt_restart how)
{
    if (wire.piped || how == PT_RESTART_BOOTSEL) {
        exit(EXIT_SUCCESS); /* there is no boot ROM here */
    }
    flush_client();
    start_again(PT_RESET_REQUEST);
}

int pt_board_flash_write(uint32_t offset, const uint8_t *from, uint32_t size)
{
    uint8_t *to = wire.flash + offset;
    if (offset % FLASH_SECTOR == 0u) {
        const uint32_t left = wire.flash_size - offset;
        memset(to, 0xff, left < FLASH_SECTOR ? left : FLASH_SECTOR);
    }
    for (uint32_t i = 0; i < size; ++i) {
        to[i] &= from[i]; /* as flash: bits fall until the sector is erased */
    }
    return memcmp(to, from, size) == 0 ? 0 : -1;
}
