/*
 * A network that is in flash, learns, and keeps there what it learned: window.h says where.
 *
 *   pt_learner_open      at boot: the model, its method, and the newest state that is theirs
 *   pt_learner_predict   the image in `image`
 *   pt_learner_learn     the image in `image`; saves by itself every so many images
 *   pt_learner_save      now
 *   pt_learner_factory   forgets all states: the network as it was flashed
 *
 * A header, model or method that cannot serve leaves a learner that only says why (`fault`). A
 * state that cannot serve is refused by name (`refused`), and the network is that of the factory.
 * A state of another model or method stays where it is until the ring comes round to it; one of
 * another version of nn/pt_store.h stays until pt_learner_factory, and nothing is saved beside it.
 *
 * NITI trains the weights, so its model is copied into the arena; that of PRIOT stays in flash.
 */
#ifndef PT_LEARNER_H
#define PT_LEARNER_H

#include "examples/standalone/window.h"
#include "picotrain.h"

/* Why it cannot work. */
enum pt_learner_fault {
    PT_LEARNER_WORKS,
    PT_LEARNER_BLANK,   /* no header */
    PT_LEARNER_HEADER,  /* damaged */
    PT_LEARNER_VERSION, /* of the header: {found} */
    PT_LEARNER_MODEL,   /* `error` of pt_trainer_open */
    PT_LEARNER_METHOD,  /* `error` of pt_trainer_method; PT_OK: one for a harness alone */
    PT_LEARNER_RAM,     /* {bytes needed at least, bytes there} */
};

/* What of the state in flash could not serve. */
enum pt_learner_refused {
    PT_REFUSED_NONE,
    PT_REFUSED_MODEL,
    PT_REFUSED_METHOD,
    PT_REFUSED_VERSION,
    PT_REFUSED_DAMAGED,
};

/* Words of pt_position that are ours: 0, as the header has it; else one more than the value. */
enum pt_own { PT_OWN_THRESHOLD = 0, PT_OWN_EVERY = 1 };

struct pt_learner {
    const struct pt_window_header *header; /* these four are the caller's */
    const struct pt_flash *ring;
    uint8_t *arena;
    uint32_t arena_size;

    enum pt_learner_fault fault;
    int error;
    struct pt_detail why; /* of `fault`, or of the function that refused last */
    enum pt_learner_refused refused;
    int saving;     /* what became of the last save; PT_OK */
    bool kept;      /* what is learned goes on from state `store.newest` */
    uint8_t *image; /* the caller's to fill: uint8, of an affine network with bit 7 inverted */
    uint32_t image_size;
    uint32_t unsaved;            /* images learned since the last save */
    struct pt_position position; /* images learned, and enum pt_own: what a save keeps too */
    struct pt_trainer trainer;
    struct pt_store store;
};

/* `window` is the MiB of window.h, in memory; `ring` its last sectors. */
void pt_learner_open(struct pt_learner *learner, const uint8_t *window,
                     const struct pt_flash *ring, uint8_t *arena, uint32_t arena_size);

/* The rest only where `fault` is PT_LEARNER_WORKS. */

struct pt_result pt_learner_predict(struct pt_learner *learner);

/* PT_ERR_LABEL. Where the loss norm is at most the threshold, nothing has changed. Not where
 * pt_learner_learns is false: such a network only infers. */
int pt_learner_learn(struct pt_learner *learner, uint32_t label, struct pt_result *result);

/* The errors of pt_store_save. Only of one that learns. */
int pt_learner_save(struct pt_learner *learner);

/* False where worn flash keeps a state all the same. */
bool pt_learner_factory(struct pt_learner *learner);

/* Whether its method learns. */
bool pt_learner_learns(const struct pt_learner *learner);

/* The threshold, or after how many images it saves: as it was set, or as the header has it. */
uint32_t pt_learner_own(const struct pt_learner *learner, enum pt_own which);

/* Bytes of the arena that it takes, with room for an image. */
uint32_t pt_learner_ram(const struct pt_learner *learner);

#endif
