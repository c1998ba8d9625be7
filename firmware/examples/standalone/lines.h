/*
 * The learner by lines of ASCII, each answered by one line. Lines end in LF, CR or both; empty ones
 * have no answer. A client sends its next line when it has the answer.
 *
 *   ? PIXELS       CLASS CONFIDENCE: how sure, in 128ths (nn/pt_readout.h): 7 113
 *   LABEL PIXELS   learned NORM, or easy NORM where the loss norm is not above the threshold and
 *                  nothing was changed
 *   save           saved SEQUENCE
 *   factory        factory: all states are forgotten, and threshold and every as flashed
 *   threshold N    threshold N: 0 to 4095, from now on; kept with the next save
 *   every N        every N: saves after so many learned images, 0 never; kept with the next save
 *   info           KEY=VALUE ..., below
 *   else           error: ... names what and how to put it right; nothing has changed
 *
 * PIXELS are two hexadecimal digits for each of height x width x channels, values 0 to 255 for any
 * network. They are decoded as they come, into the arena: no line is too long.
 *
 *   protocol=1       of these lines
 *   network=NAME     blanks as _        model=CRC        classes=N       pixels=28x28x1
 *   method=priot     state=SEQUENCE     of the last save, or factory
 *   learned=N        images             unsaved=N        since the last save
 *   refused=WHAT     of a state in flash: none, model, method, version, damaged
 *   threshold=N      every=N
 *   save=ok          or what the last save met: version, room, flash
 *   boot_us=N        from the program's start until it answers
 *   ram=USED/THERE   bytes of the arena
 *
 * While a line is worked on (a step, or a save) USB holds the next one back; on a UART 2048 bytes
 * wait, and during a save 32. There is one image: a port whose line has come to its pixels makes
 * the other wait, until that line ends or is dropped.
 */
#ifndef PT_LINES_H
#define PT_LINES_H

#include "examples/standalone/learner.h"

enum pt_lines_limit {
    PT_LINES_VERSION = 1,
    PT_LINES_PORTS = 2,
    PT_LINES_ANSWER = 400, /* bytes of the longest answer, with its LF */
    PT_LINES_WORD = 24,    /* of the longest command */
};

enum pt_lines_outcome {
    PT_LINES_MORE,     /* taken */
    PT_LINES_ANSWERED, /* taken: `answer` is that of the line which it ended */
    PT_LINES_WAIT,     /* not taken: the image is another port's */
};

/* What came of one port's line. */
struct pt_line {
    uint8_t place; /* enum of lines.c: where in the line */
    uint8_t wrong; /* enum of lines.c: what is wrong with it */
    bool asks;
    uint8_t high; /* digit of the byte in work */
    uint32_t label;
    uint32_t digits; /* of the pixels */
    uint32_t length; /* of the word */
    char word[PT_LINES_WORD];
};

struct pt_lines {
    struct pt_learner *learner;
    uint32_t boot_us;
    uint32_t owner; /* port whose image it is; PT_LINES_PORTS: nobody's */
    struct pt_line line[PT_LINES_PORTS];
    uint32_t size;
    char answer[PT_LINES_ANSWER];
};

void pt_lines_start(struct pt_lines *lines, struct pt_learner *learner, uint32_t boot_us);

enum pt_lines_outcome pt_lines_take(struct pt_lines *lines, uint32_t port, uint8_t byte);

/* Whether a part of a line has come. */
bool pt_lines_begun(const struct pt_lines *lines, uint32_t port);

/* Forgets that part, as of a client that is gone. */
void pt_lines_drop(struct pt_lines *lines, uint32_t port);

#endif
