/*
 * Any bytes as a model, and training on what was accepted.
 *
 *   flags, method (kind, mu, threshold, permille, selection and start, seed, easy), images, blob
 *
 * flags: 1 the bytes as they are, else with a good header and CRC; 2 frozen; 4 selected rows;
 * 8 an arena that is one byte too small.
 *
 * Held: a blob is refused by name, or trained without a report in an arena that has not one byte
 * more than planned; one byte less is refused. A step in pieces is the step at once. What training
 * leaves is a model that opens again, and a frozen one it leaves as it is.
 */
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "networks.h"
#include "nn/pt_crc32.h"
#include "nn/pt_prototypes.h"
#include "nn/pt_state.h"
#include "nn/pt_trainer.h"

enum { AS_IT_IS = 1, FROZEN = 2, SELECTED = 4, TOO_SMALL = 8 };

static const uint32_t WIDE_ARENA = 1u << 16;
static const uint64_t MOST_WORK = 1u << 19; /* of a pass: networks that are not worth the wait */

struct job {
    uint32_t flags;
    struct pt_method method;
    uint32_t images;
    const uint8_t *blob;
    uint32_t size;
};

struct learner {
    struct pt_trainer trainer;
    uint8_t *arena;
    uint8_t *flash; /* NULL: the blob is in the arena */
};

static struct job read_job(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct job job;
    job.flags = fuzz_u8(&input);
    job.method.kind = fuzz_u8(&input) % (PT_METHOD_KINDS + 1u);
    job.method.mu = (int8_t)fuzz_u8(&input) % 12;
    job.method.threshold = (int8_t)fuzz_u8(&input);
    job.method.permille = fuzz_u8(&input) * 4u;
    const uint8_t choices = fuzz_u8(&input);
    job.method.selection = choices % 3u;
    job.method.start = choices / 3u % 3u;
    job.method.seed = fuzz_u8(&input);
    job.method.easy = fuzz_u8(&input) / 16u;
    job.images = 1u + fuzz_u8(&input) % 3u;
    size_t left = input.left;
    job.blob = fuzz_bytes(&input, &left);
    job.size = (uint32_t)left;
    return job;
}

/* The model in an arena of that size, or beside it, in memory that ends where the blob does. */
static int load(struct learner *learner, const struct job *job, uint32_t arena_size,
                struct pt_detail *detail)
{
    struct pt_trainer *t = &learner->trainer;
    const bool frozen = (job->flags & FROZEN) != 0u;
    learner->flash = frozen ? fuzz_memory(job->size) : NULL;
    learner->arena = fuzz_memory(arena_size);
    memset(learner->arena, 0xa5, arena_size);
    uint8_t *blob = frozen ? learner->flash : learner->arena;
    pt_trainer_reset(t, learner->arena, arena_size);
    if (job->size != 0u && (frozen || job->size <= arena_size)) {
        memcpy(blob, job->blob, job->size);
        if ((job->flags & AS_IT_IS) == 0u) {
            fuzz_seal(blob, job->size);
        }
    }
    return pt_trainer_open(t, blob, job->size, frozen, detail);
}

static void drop(struct learner *learner)
{
    free(learner->arena);
    free(learner->flash);
}

/* A model is as large as it says, so this sees whatever reads behind it. */
static int open_alone(const struct job *job, struct pt_detail *detail)
{
    struct learner alone;
    struct job frozen = *job;
    frozen.flags |= FROZEN;
    const int err = load(&alone, &frozen, 8, detail);
    drop(&alone);
    return err;
}

/* Bits for about half of the rows, the first of all among them. */
static int select_rows(struct pt_trainer *t, uint32_t seed, struct pt_detail *detail)
{
    uint8_t bits[PT_MAX_SELECTION];
    uint32_t size;
    const int err = pt_selection_size(&t->model, &size, detail);
    if (err) {
        return err;
    }
    fuzz_fill(bits, size, seed);
    uint8_t *of_layer = bits;
    for (uint32_t l = 0; l < t->model.header->layers; ++l) {
        const uint32_t bytes = pt_selection_layer_size(&t->model.layer[l]);
        for (uint32_t row = pt_layer_rows(&t->model.layer[l]); row < 8u * bytes; ++row) {
            of_layer[row / 8u] = (uint8_t)(of_layer[row / 8u] & ~(1u << row % 8u));
        }
        of_layer += bytes;
    }
    if (size != 0u) {
        bits[0] |= 1u;
    }
    return pt_trainer_select(t, bits, size, detail);
}

static int choose(struct learner *learner, const struct job *job, struct pt_detail *detail)
{
    if ((job->flags & SELECTED) != 0u) {
        const int err = select_rows(&learner->trainer, job->method.seed, detail);
        if (err) {
            return err;
        }
    }
    return pt_trainer_method(&learner->trainer, &job->method, detail);
}

static uint32_t state_crc(const struct pt_trainer *t)
{
    return pt_state_describe(t).state_crc;
}

/* One image, at once, then from the same state again in pieces: the same state and result. */
static void step(struct learner *learner, const uint8_t *image, uint32_t label)
{
    struct pt_trainer *t = &learner->trainer;
    const uint32_t size = pt_state_size(t);
    uint8_t *before = fuzz_memory(size + 1u);
    struct pt_result result;
    struct pt_event event;
    pt_state_read(t, 0, before, size);
    fuzz_require(pt_trainer_train(t, image, label, &result, NULL) == PT_OK, "a class is a label");
    if (pt_method_learns(&t->method)) {
        const uint32_t after = state_crc(t);
        pt_state_write(t, 0, before, size);
        fuzz_require(pt_trainer_begin(t, image, label, NULL) == PT_OK, "a class is a label");
        do {
            const struct pt_operation *operation = &t->plan.operation[t->operation];
            const uint32_t row = pt_layer_row_length(&t->model.layer[operation->layer]);
            int8_t *sink = fuzz_memory(row + 1u);
            event = pt_trainer_next(t, sink, row);
            fuzz_require(event.updates <= row, "an update fits its sink");
            free(sink);
        } while (event.kind != PT_DONE);
        fuzz_require(state_crc(t) == after, "a step in pieces is the step at once");
        fuzz_require(t->result.prediction == result.prediction &&
                         t->result.loss_norm == result.loss_norm,
                     "a step in pieces has the same result");
    }
    free(before);
}

static void train(struct learner *learner, const struct job *job)
{
    struct pt_trainer *t = &learner->trainer;
    const uint32_t classes = t->model.header->classes;
    uint8_t *image = learner->arena + pt_trainer_io_offset(t); /* where a harness puts it */
    for (uint32_t i = 0; i < job->images; ++i) {
        const uint32_t label = (job->method.seed + i) % (classes < 256u ? classes : 256u);
        fuzz_fill(image, t->plan.image_size, job->method.seed + i);
        if (pt_method_trains(&t->method)) {
            step(learner, image, label);
            fuzz_fill(image, t->plan.image_size, job->method.seed + i);
        }
        const struct pt_result result = pt_trainer_predict(t, image);
        fuzz_require(result.prediction < classes, "a prediction is a class");
    }
    struct pt_detail detail;
    fuzz_require(pt_trainer_train(t, image, classes, NULL, &detail) == PT_ERR_LABEL,
                 "what is no class is no label");
}

/* What is left is a model, or of a frozen one every byte. */
static void look(struct learner *learner, const struct job *job, uint32_t crc)
{
    struct pt_trainer *t = &learner->trainer;
    struct pt_detail detail;
    if (t->method.kind == PT_PROTOTYPE) {
        const int err = pt_prototypes_make(t, &detail);
        fuzz_require(err == PT_OK || err == PT_ERR_CLASS_EMPTY, "a head, or an empty class");
    }
    if (t->frozen) {
        fuzz_require(pt_crc32(0, learner->flash, job->size) == crc, "flash stays as it is");
        return;
    }
    fuzz_require(pt_trainer_seal(t, &detail) == PT_OK, "a model can be sealed");
    fuzz_require(pt_trainer_open(t, learner->arena, job->size, false, &detail) == PT_OK,
                 "what training makes of a model is one");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct job job = read_job(data, size);
    struct learner learner;
    struct pt_detail detail;
    int err = open_alone(&job, &detail);
    fuzz_require(err <= 0 && err >= PT_ERR_STORE_DAMAGED, "a refusal has a name");
    if (err) {
        return 0;
    }
    err = load(&learner, &job, WIDE_ARENA, &detail);
    fuzz_require(err == PT_OK || err == PT_ERR_MEMORY, "a model is one wherever it lies");
    bool goes_on = err == PT_OK && fuzz_work(&learner.trainer.model) <= MOST_WORK &&
                   choose(&learner, &job, &detail) == PT_OK;
    const struct pt_plan *plan = &learner.trainer.plan;
    uint32_t needed = goes_on ? pt_trainer_io_offset(&learner.trainer) + plan->io_minimum : 0u;
    drop(&learner);
    if (goes_on && (job.flags & TOO_SMALL) != 0u) {
        err = load(&learner, &job, needed - 1u, &detail);
        err = err ? err : choose(&learner, &job, &detail);
        fuzz_require(err == PT_ERR_MEMORY, "an arena is needed as it is planned");
        drop(&learner);
    } else if (goes_on) {
        fuzz_require(load(&learner, &job, needed, &detail) == PT_OK &&
                         choose(&learner, &job, &detail) == PT_OK,
                     "an arena as it is planned is enough");
        const uint8_t *blob = learner.flash == NULL ? learner.arena : learner.flash;
        const uint32_t crc = pt_crc32(0, blob, job.size);
        train(&learner, &job);
        look(&learner, &job, crc);
        drop(&learner);
    }
    return 0;
}
