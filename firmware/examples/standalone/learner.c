#include "examples/standalone/learner.h"

#include <stddef.h>

#include "kernels/pt_memory.h"
#include "nn/pt_crc32.h"

static const uint8_t *model_of(const struct pt_learner *learner)
{
    return (const uint8_t *)learner->header + PT_WINDOW_MODEL_AT;
}

static void fail(struct pt_learner *learner, enum pt_learner_fault fault, int error)
{
    learner->fault = fault;
    learner->error = error;
}

static void fail_memory(struct pt_learner *learner, uint32_t needed)
{
    fail(learner, PT_LEARNER_RAM, PT_ERR_MEMORY);
    learner->why = (struct pt_detail){{needed, learner->arena_size, 0, 0}};
}

static void check_header(struct pt_learner *learner)
{
    const struct pt_window_header *header = learner->header;
    if (header->magic != PT_WINDOW_MAGIC) {
        fail(learner, PT_LEARNER_BLANK, PT_OK);
    } else if (header->version != PT_WINDOW_VERSION) {
        fail(learner, PT_LEARNER_VERSION, PT_OK);
        learner->why.value[0] = header->version;
    } else if (header->crc32 != pt_crc32(0, header, offsetof(struct pt_window_header, crc32)) ||
               header->model_size > PT_WINDOW_RING - PT_WINDOW_MODEL_AT) {
        fail(learner, PT_LEARNER_HEADER, PT_OK);
    } else if (header->method.kind == PT_FISHER || header->method.kind == PT_PROTOTYPE) {
        fail(learner, PT_LEARNER_METHOD, PT_OK);
    }
}

/* The network as it was flashed, with nothing learned. */
static void begin(struct pt_learner *learner)
{
    const struct pt_window_header *header = learner->header;
    struct pt_trainer *trainer = &learner->trainer;
    const bool copied = pt_method_weights(&header->method);
    uint8_t *blob = (uint8_t *)(uintptr_t)model_of(learner);
    learner->position = (struct pt_position){0, 0, {0, 0}};
    learner->unsaved = 0;
    learner->kept = false;
    pt_trainer_reset(trainer, learner->arena, learner->arena_size);
    if (copied) {
        if (header->model_size > learner->arena_size) {
            fail_memory(learner, header->model_size);
            return;
        }
        memcpy(learner->arena, blob, header->model_size);
        blob = learner->arena;
    }
    int err = pt_trainer_open(trainer, blob, header->model_size, !copied, &learner->why);
    if (err) {
        fail(learner, PT_LEARNER_MODEL, err);
        return;
    }
    learner->image_size = pt_shape_in_size(&trainer->model.layer[0].shape);
    err = pt_trainer_method(trainer, &header->method, &learner->why);
    if (err == PT_ERR_MEMORY) {
        fail_memory(learner, learner->why.value[0]); /* with an image behind all that is planned */
    } else if (err) {
        fail(learner, PT_LEARNER_METHOD, err);
    } else {
        learner->image = learner->arena + pt_trainer_io_offset(trainer);
    }
}

/* Why a state did not serve, by name. */
static enum pt_learner_refused refusal(int error, const struct pt_detail *why)
{
    if (error == PT_OK || error == PT_ERR_STORE_EMPTY) {
        return PT_REFUSED_NONE;
    }
    if (error == PT_ERR_STORE_VERSION) {
        return PT_REFUSED_VERSION;
    }
    if (error == PT_ERR_CHECKPOINT && why->value[0] == PT_CHECKPOINT_OF_MODEL) {
        return PT_REFUSED_MODEL;
    }
    return error == PT_ERR_CHECKPOINT && why->value[0] == PT_CHECKPOINT_OF_METHOD
               ? PT_REFUSED_METHOD
               : PT_REFUSED_DAMAGED;
}

static void restore(struct pt_learner *learner)
{
    struct pt_position position;
    int err = pt_store_open(&learner->store, learner->ring, &learner->why);
    learner->saving = err;
    if (!err && !pt_learner_learns(learner)) {
        learner->refused = learner->store.place == PT_NO_SECTOR ? PT_REFUSED_NONE
                                                                : PT_REFUSED_METHOD;
        return;
    }
    if (!err) {
        err = pt_store_restore(&learner->store, &learner->trainer, &position, &learner->why);
    }
    learner->refused = refusal(err, &learner->why);
    if (!err) {
        learner->position = position;
        learner->kept = true;
        if (learner->store.damaged != PT_NO_SECTOR) {
            learner->refused = PT_REFUSED_DAMAGED; /* the newest one; this is the one before */
        }
    } else if (learner->trainer.state != PT_STATE_READY) {
        begin(learner);
    }
}

void pt_learner_open(struct pt_learner *learner, const uint8_t *window,
                     const struct pt_flash *ring, uint8_t *arena, uint32_t arena_size)
{
    memset(learner, 0, sizeof *learner);
    learner->header = (const struct pt_window_header *)window;
    learner->ring = ring;
    learner->arena = arena;
    learner->arena_size = arena_size;
    check_header(learner);
    if (learner->fault == PT_LEARNER_WORKS) {
        begin(learner);
    }
    if (learner->fault == PT_LEARNER_WORKS) {
        restore(learner);
    }
}

struct pt_result pt_learner_predict(struct pt_learner *learner)
{
    return pt_trainer_predict(&learner->trainer, learner->image);
}

int pt_learner_learn(struct pt_learner *learner, uint32_t label, struct pt_result *result)
{
    const uint32_t every = pt_learner_own(learner, PT_OWN_EVERY);
    const uint32_t threshold = pt_learner_own(learner, PT_OWN_THRESHOLD);
    struct pt_method *method = &learner->trainer.method;
    const uint32_t easy = method->easy;
    /* For the step alone: a state is one of the method in flash, whatever the threshold is now. */
    method->easy = threshold;
    const int err = pt_trainer_train(&learner->trainer, learner->image, label, result,
                                     &learner->why);
    method->easy = easy;
    if (err || result->loss_norm <= threshold) {
        return err;
    }
    ++learner->position.image;
    ++learner->unsaved;
    if (every != 0u && learner->unsaved % every == 0u) {
        (void)pt_learner_save(learner); /* `saving` tells */
    }
    return PT_OK;
}

int pt_learner_save(struct pt_learner *learner)
{
    learner->saving = pt_store_save(&learner->store, &learner->trainer, &learner->position,
                                    &learner->why);
    if (learner->saving == PT_OK) {
        learner->unsaved = 0;
        learner->kept = true;
    }
    return learner->saving;
}

bool pt_learner_factory(struct pt_learner *learner)
{
    pt_store_clear(&learner->store);
    begin(learner);
    restore(learner);
    return !learner->kept && learner->refused == PT_REFUSED_NONE;
}

bool pt_learner_learns(const struct pt_learner *learner)
{
    return pt_method_learns(&learner->header->method);
}

uint32_t pt_learner_own(const struct pt_learner *learner, enum pt_own which)
{
    const struct pt_window_header *header = learner->header;
    const uint32_t set = learner->position.own[which];
    return set != 0u                  ? set - 1u
           : which == PT_OWN_THRESHOLD ? header->method.easy
                                       : header->save_every;
}

uint32_t pt_learner_ram(const struct pt_learner *learner)
{
    return pt_trainer_io_offset(&learner->trainer) + learner->trainer.plan.io_minimum;
}
