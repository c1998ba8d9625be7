#include "examples/standalone/lines.h"

#include <stddef.h>

#include "kernels/pt_memory.h"

enum place { START, SIGN, PIXELS, WORD, REST };

enum wrong { NOTHING, FORM, SIZE, LEARNS_NOT };

enum { MOST_LABEL = 9999, MOST_EVERY = 1000000, NO_NUMBER = -1 };

/* Answers */

static void put(struct pt_lines *lines, const char *text)
{
    for (; *text != '\0' && lines->size < PT_LINES_ANSWER - 1u; ++text) {
        lines->answer[lines->size++] = *text;
    }
}

static void put_number(struct pt_lines *lines, uint32_t number)
{
    char digits[11];
    uint32_t at = sizeof digits - 1u;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10u);
        number /= 10u;
    } while (number != 0u);
    put(lines, digits + at);
}

/* Text, and a number behind it. */
static void put_value(struct pt_lines *lines, const char *text, uint32_t number)
{
    put(lines, text);
    put_number(lines, number);
}

static void put_crc(struct pt_lines *lines, uint32_t crc)
{
    char digits[9] = {0};
    for (uint32_t i = 0; i < 8u; ++i) {
        digits[i] = "0123456789abcdef"[crc >> (28u - 4u * i) & 15u];
    }
    put(lines, digits);
}

static void put_name(struct pt_lines *lines, const char *name)
{
    char letter[2] = {0};
    for (uint32_t i = 0; i < PT_WINDOW_NAME && name[i] != '\0'; ++i) {
        letter[0] = name[i] > ' ' && name[i] <= '~' ? name[i] : '_';
        put(lines, letter);
    }
}

static const char *method_name(uint32_t kind)
{
    return kind == PT_PRIOT          ? "priot"
           : kind == PT_PRIOT_S      ? "priot-s"
           : kind == PT_NITI_STATIC  ? "niti-static"
           : kind == PT_NITI_DYNAMIC ? "niti-dynamic"
                                     : "infer";
}

#define AGAIN ": write it again with picotrain flash-model"

static void put_fault(struct pt_lines *lines)
{
    const struct pt_learner *learner = lines->learner;
    const uint32_t *why = learner->why.value;
    const uint32_t error = (uint32_t)-learner->error;
    switch (learner->fault) {
    case PT_LEARNER_BLANK:
        put(lines, "error: there is no model in flash: write one with picotrain flash-model");
        break;
    case PT_LEARNER_HEADER:
        put(lines, "error: the header of the model in flash is damaged" AGAIN);
        break;
    case PT_LEARNER_VERSION:
        put_value(lines, "error: the header of the model in flash is of version ", why[0]);
        put_value(lines, ", this firmware reads ", PT_WINDOW_VERSION);
        put(lines, AGAIN);
        break;
    case PT_LEARNER_MODEL:
        put_value(lines, "error: the model in flash is damaged or of another version (-", error);
        put(lines, " of nn/pt_error.h)" AGAIN);
        break;
    case PT_LEARNER_METHOD:
        if (error == PT_OK) {
            put_value(lines, "error: method ", learner->header->method.kind);
            put(lines, " of the header in flash is none for a device alone");
        } else {
            put_value(lines, "error: the method in flash is not possible with this model (-",
                      error);
            put(lines, " of nn/pt_error.h)");
        }
        put(lines, ": choose another with picotrain flash-model");
        break;
    case PT_LEARNER_RAM:
        put_value(lines, "error: this model and method need at least ", why[0]);
        put_value(lines, " bytes of RAM, there are ", why[1]);
        put(lines, ": choose priot-s, or a smaller network");
        break;
    case PT_LEARNER_WORKS:
        break;
    }
}

static void put_wrong(struct pt_lines *lines, uint32_t wrong)
{
    const struct pt_shape *shape = &lines->learner->trainer.model.layer[0].shape;
    if (wrong == SIZE) {
        put_value(lines, "error: PIXELS are ", 2u * lines->learner->image_size);
        put_value(lines, " hexadecimal digits, two for each of ", shape->in_h);
        put_value(lines, "x", shape->in_w);
        put_value(lines, "x", shape->in_c);
    } else if (wrong == LEARNS_NOT) {
        put(lines, "error: this device only infers: write its model with another method than "
                   "infer");
    } else {
        put(lines, "error: a line is ? PIXELS, LABEL PIXELS, save, factory, threshold N, every N "
                   "or info");
    }
}

/* What a save refused with. */
static void put_not_saved(struct pt_lines *lines, int err)
{
    const uint32_t *why = lines->learner->why.value;
    if (err == PT_ERR_STORE_VERSION) {
        put(lines, "error: not saved: the state in flash is of another version: factory forgets "
                   "it");
    } else if (err == PT_ERR_STORE_ROOM) {
        put_value(lines, "error: not saved: with the last state it takes ", why[0]);
        put_value(lines, " sectors of flash, there are ", why[1]);
        put_value(lines, ", worn of them ", why[2]);
        put(lines, ": factory forgets that state");
    } else {
        put_value(lines, "error: not saved (-", (uint32_t)-err);
        put(lines, " of nn/pt_error.h)");
    }
}

static void put_info(struct pt_lines *lines)
{
    static const char *const refused[] = {
        [PT_REFUSED_NONE] = "none",       [PT_REFUSED_MODEL] = "model",
        [PT_REFUSED_METHOD] = "method",   [PT_REFUSED_VERSION] = "version",
        [PT_REFUSED_DAMAGED] = "damaged",
    };
    const struct pt_learner *learner = lines->learner;
    const struct pt_model *model = &learner->trainer.model;
    const struct pt_shape *shape = &model->layer[0].shape;
    const int saving = learner->saving;
    put_value(lines, "protocol=", PT_LINES_VERSION);
    put(lines, " network=");
    put_name(lines, learner->header->name);
    put(lines, " model=");
    put_crc(lines, model->header->crc32);
    put_value(lines, " classes=", model->header->classes);
    put_value(lines, " pixels=", shape->in_h);
    put_value(lines, "x", shape->in_w);
    put_value(lines, "x", shape->in_c);
    put(lines, " method=");
    put(lines, method_name(learner->header->method.kind));
    if (learner->kept) {
        put_value(lines, " state=", learner->store.newest.sequence);
    } else {
        put(lines, " state=factory");
    }
    put_value(lines, " learned=", learner->position.image);
    put_value(lines, " unsaved=", learner->unsaved);
    put(lines, " refused=");
    put(lines, refused[learner->refused]);
    put_value(lines, " threshold=", pt_learner_own(learner, PT_OWN_THRESHOLD));
    put_value(lines, " every=", pt_learner_own(learner, PT_OWN_EVERY));
    put(lines, saving == PT_OK                  ? " save=ok"
               : saving == PT_ERR_STORE_VERSION ? " save=version"
               : saving == PT_ERR_STORE_ROOM    ? " save=room"
                                                : " save=flash");
    put_value(lines, " boot_us=", lines->boot_us);
    put_value(lines, " ram=", pt_learner_ram(learner));
    put_value(lines, "/", learner->arena_size);
}

/* Commands */

/* Of the word's letters from `at` on; NO_NUMBER where they are none up to `most`. */
static int32_t number_at(const struct pt_line *line, uint32_t at, uint32_t most)
{
    uint32_t number = 0;
    if (at >= line->length) {
        return NO_NUMBER;
    }
    for (; at < line->length; ++at) {
        if (line->word[at] < '0' || line->word[at] > '9') {
            return NO_NUMBER;
        }
        number = 10u * number + (uint32_t)(line->word[at] - '0');
        if (number > most) {
            return NO_NUMBER;
        }
    }
    return (int32_t)number;
}

/* Whether the line begins with `text`, whose length is set. */
static bool begins(const struct pt_line *line, const char *text, uint32_t *length)
{
    uint32_t at = 0;
    for (; text[at] != '\0'; ++at) {
        if (at >= line->length || line->word[at] != text[at]) {
            return false;
        }
    }
    *length = at;
    return true;
}

static bool is(const struct pt_line *line, const char *text)
{
    uint32_t length;
    return begins(line, text, &length) && length == line->length;
}

/* Sets a word of enum pt_own; `name` ends in a blank. False where the line is another. */
static bool set(struct pt_lines *lines, const struct pt_line *line, const char *name,
                uint32_t most, uint32_t *own)
{
    uint32_t length;
    if (!begins(line, name, &length)) {
        return false;
    }
    const int32_t number = number_at(line, length, most);
    if (number == NO_NUMBER) {
        put(lines, "error: ");
        put(lines, name);
        put_value(lines, "takes a number from 0 to ", most);
    } else {
        *own = (uint32_t)number + 1u;
        put_value(lines, name, (uint32_t)number);
    }
    return true;
}

static void command(struct pt_lines *lines, const struct pt_line *line)
{
    struct pt_learner *learner = lines->learner;
    uint32_t *own = learner->position.own;
    if (is(line, "info")) {
        put_info(lines);
    } else if (is(line, "save") && !pt_learner_learns(learner)) {
        put_wrong(lines, LEARNS_NOT);
    } else if (is(line, "save")) {
        const int err = pt_learner_save(learner);
        if (err) {
            put_not_saved(lines, err);
        } else {
            put_value(lines, "saved ", learner->store.newest.sequence);
        }
    } else if (is(line, "factory")) {
        put(lines, pt_learner_factory(learner)
                       ? "factory"
                       : "error: worn flash keeps a state, which comes back at the next start");
    } else if (!set(lines, line, "threshold ", PT_MAX_EASY, &own[PT_OWN_THRESHOLD]) &&
               !set(lines, line, "every ", MOST_EVERY, &own[PT_OWN_EVERY])) {
        put_wrong(lines, FORM);
    }
}

static void show(struct pt_lines *lines, const struct pt_line *line)
{
    struct pt_learner *learner = lines->learner;
    struct pt_result result;
    if (line->asks) {
        put_number(lines, pt_learner_predict(learner).prediction);
        put_value(lines, " ", pt_trainer_confidence(&learner->trainer));
    } else if (!pt_learner_learns(learner)) {
        put_wrong(lines, LEARNS_NOT);
    } else if (pt_learner_learn(learner, line->label, &result) != PT_OK) {
        const uint32_t classes = learner->trainer.model.header->classes;
        put_value(lines, "error: label ", line->label);
        put_value(lines, " is none of the classes: give 0 to ", classes - 1u);
    } else {
        const bool easy = result.loss_norm <= pt_learner_own(learner, PT_OWN_THRESHOLD);
        put_value(lines, easy ? "easy " : "learned ", result.loss_norm);
    }
}

static void end(struct pt_lines *lines, const struct pt_line *line)
{
    lines->size = 0;
    if (lines->learner->fault != PT_LEARNER_WORKS) {
        put_fault(lines);
    } else if (line->wrong != NOTHING) {
        put_wrong(lines, line->wrong);
    } else if (line->place == WORD) {
        command(lines, line);
    } else if (line->place != PIXELS) {
        put_wrong(lines, FORM);
    } else if (line->digits != 2u * lines->learner->image_size) {
        put_wrong(lines, SIZE);
    } else {
        show(lines, line);
    }
    lines->answer[lines->size++] = '\n';
}

/* Bytes */

static void refuse(struct pt_lines *lines, uint32_t port, enum wrong wrong)
{
    lines->line[port].place = REST;
    lines->line[port].wrong = (uint8_t)wrong;
    if (lines->owner == port) {
        lines->owner = PT_LINES_PORTS;
    }
}

static int digit(uint8_t byte)
{
    const int small = byte | 0x20;
    return byte >= '0' && byte <= '9'   ? byte - '0'
           : small >= 'a' && small <= 'f' ? small - 'a' + 10
                                          : NO_NUMBER;
}

static void take_pixel(struct pt_lines *lines, uint32_t port, uint8_t byte)
{
    const struct pt_learner *learner = lines->learner;
    struct pt_line *line = &lines->line[port];
    const int value = digit(byte);
    if (value == NO_NUMBER || line->digits >= 2u * learner->image_size) {
        refuse(lines, port, SIZE);
    } else if ((line->digits++ & 1u) == 0u) {
        line->high = (uint8_t)value;
    } else {
        const uint32_t flip = pt_model_affine(&learner->trainer.model) ? 0x80u : 0u;
        learner->image[line->digits / 2u - 1u] =
            (uint8_t)(((uint32_t)line->high << 4 | (uint32_t)value) ^ flip);
    }
}

static void begin(struct pt_lines *lines, uint32_t port, uint8_t byte)
{
    struct pt_line *line = &lines->line[port];
    memset(line, 0, sizeof *line);
    if (lines->learner->fault != PT_LEARNER_WORKS) {
        line->place = REST;
    } else if (byte == '?' || (byte >= '0' && byte <= '9')) {
        line->place = SIGN;
        line->asks = byte == '?';
        line->label = line->asks ? 0u : (uint32_t)(byte - '0');
    } else {
        line->place = WORD;
        line->word[line->length++] = (char)byte;
    }
}

enum pt_lines_outcome pt_lines_take(struct pt_lines *lines, uint32_t port, uint8_t byte)
{
    struct pt_line *line = &lines->line[port];
    if (byte == '\n' || byte == '\r') {
        if (line->place == START) {
            return PT_LINES_MORE;
        }
        end(lines, line);
        pt_lines_drop(lines, port);
        return PT_LINES_ANSWERED;
    }
    switch (line->place) {
    case START:
        begin(lines, port, byte);
        break;
    case SIGN:
        if (byte == ' ') {
            if (lines->owner != PT_LINES_PORTS) {
                return PT_LINES_WAIT;
            }
            lines->owner = port;
            line->place = PIXELS;
        } else if (line->asks || byte < '0' || byte > '9' || line->label > MOST_LABEL / 10) {
            refuse(lines, port, FORM);
        } else {
            line->label = 10u * line->label + (uint32_t)(byte - '0');
        }
        break;
    case PIXELS:
        take_pixel(lines, port, byte);
        break;
    case WORD:
        if (line->length == PT_LINES_WORD) {
            refuse(lines, port, FORM);
        } else {
            line->word[line->length++] = (char)byte;
        }
        break;
    default:
        break;
    }
    return PT_LINES_MORE;
}

bool pt_lines_begun(const struct pt_lines *lines, uint32_t port)
{
    return lines->line[port].place != START;
}

void pt_lines_drop(struct pt_lines *lines, uint32_t port)
{
    lines->line[port].place = START;
    if (lines->owner == port) {
        lines->owner = PT_LINES_PORTS;
    }
}

void pt_lines_start(struct pt_lines *lines, struct pt_learner *learner, uint32_t boot_us)
{
    memset(lines, 0, sizeof *lines);
    lines->learner = learner;
    lines->boot_us = boot_us;
    lines->owner = PT_LINES_PORTS;
}
