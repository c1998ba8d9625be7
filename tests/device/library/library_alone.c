/*
 * library_alone BLOB: firmware/nn without the program around it. What its headers promise to
 * whoever calls it directly, where the device's commands check before they call.
 */
#include <string.h>

#include "check.h"
#include "nn/pt_prototypes.h"
#include "nn/pt_solver.h"
#include "nn/pt_state.h"
#include "nn/pt_trainer.h"

enum { ARENA = 1 << 20, STATE = 1 << 17 };

static struct pt_trainer trainer;
static _Alignas(64) uint8_t arena[ARENA];
static uint8_t state[2][STATE], image[1 << 16];
static const uint8_t *blob;
static uint32_t blob_size;

static void put_blob(void)
{
    pt_trainer_reset(&trainer, arena, sizeof arena);
    memcpy(arena, blob, blob_size);
}

static void open_with(const struct pt_method *method)
{
    put_blob();
    CHECK(pt_trainer_open(&trainer, arena, blob_size, false, NULL) == PT_OK);
    CHECK(pt_trainer_method(&trainer, method, NULL) == PT_OK);
}

static void train(uint32_t images, uint32_t seed)
{
    for (uint32_t i = 0; i < images; ++i) {
        for (uint32_t k = 0; k < trainer.plan.image_size; ++k) {
            image[k] = (uint8_t)(draw(&seed) >> 24);
        }
        struct pt_result result;
        const uint32_t label = draw(&seed) % trainer.model.header->classes;
        CHECK(pt_trainer_train(&trainer, image, label, &result, NULL) == PT_OK);
        CHECK(result.prediction < trainer.model.header->classes);
    }
}

static uint32_t keep(uint8_t *to)
{
    const struct pt_checkpoint head = pt_state_describe(&trainer);
    CHECK(head.state_size == pt_state_size(&trainer) && head.state_size <= STATE);
    pt_state_read(&trainer, 0, to, head.state_size);
    return head.state_size;
}

static const struct pt_method methods[] = {
    {PT_NITI_DYNAMIC, 2, 0, 0, 0, 0, 0, 0},
    {PT_NITI_STATIC, 2, 0, 0, 0, 0, 0, 0},
    {PT_PRIOT, 3, -64, 0, 0, PT_START_NORMAL, 5, 0},
    {PT_PRIOT_S, 4, -20, 200, PT_SELECT_WEIGHT, PT_START_NORMAL, 9, 20},
};
enum { METHODS = sizeof methods / sizeof methods[0] };

/* Every refusal that the library has a caller for, with nowhere to explain it. */
static void without_details(void)
{
    uint8_t *data;
    uint32_t size;
    put_blob();
    arena[blob_size - 1] ^= 1;
    CHECK(pt_trainer_open(&trainer, arena, blob_size, false, NULL) == PT_ERR_BLOB_CRC);
    CHECK(pt_trainer_open(&trainer, arena, 3, false, NULL) == PT_ERR_BLOB_SIZE);
    CHECK(pt_trainer_open(&trainer, arena, ARENA + 8, false, NULL) == PT_ERR_MEMORY);
    CHECK(pt_trainer_seal(&trainer, NULL) == PT_ERR_STATE);
    struct pt_method method = methods[1];
    open_with(&method);
    CHECK(pt_trainer_set_mu(&trainer, 8, NULL) == PT_ERR_ARGUMENT);
    CHECK(pt_trainer_tensor(&trainer, PT_TENSOR_SCORES, 0, &data, &size, NULL) == PT_ERR_TENSOR);
    CHECK(pt_prototypes_make(&trainer, NULL) == PT_ERR_METHOD_NEEDED);
    CHECK(pt_trainer_select(&trainer, state[0], 1, NULL) == PT_ERR_SELECTION_SIZE);
    struct pt_checkpoint head = pt_state_describe(&trainer);
    head.magic ^= 1;
    CHECK(pt_state_accept(&trainer, &head, NULL) == PT_ERR_CHECKPOINT);
    state[0][0] = 0x80;
    CHECK(pt_state_values(state[0], 1, 0, NULL) == PT_ERR_WEIGHT);
    method.kind = PT_METHOD_KINDS;
    CHECK(pt_trainer_method(&trainer, &method, NULL) == PT_ERR_ARGUMENT);
    trainer.arena_size = blob_size;
    CHECK(pt_trainer_method(&trainer, &methods[1], NULL) == PT_ERR_MEMORY);
    put_blob();
    CHECK(pt_trainer_open(&trainer, (uint8_t *)blob, blob_size, true, NULL) == PT_OK);
    CHECK(pt_trainer_method(&trainer, &methods[1], NULL) == PT_ERR_FROZEN);
    CHECK(pt_trainer_seal(&trainer, NULL) == PT_ERR_FROZEN);
}

static void labels(const struct pt_method *method)
{
    open_with(method);
    const uint32_t classes = trainer.model.header->classes;
    const uint32_t wrong[] = {classes, classes + 1, 255u + classes, UINT32_MAX};
    train(3, 7);
    const uint32_t size = keep(state[0]);
    for (uint32_t i = 0; i < sizeof wrong / sizeof wrong[0]; ++i) {
        struct pt_result result = {99, 98, 97};
        struct pt_detail detail = {{0}};
        CHECK(pt_trainer_train(&trainer, image, wrong[i], &result, &detail) == PT_ERR_LABEL);
        CHECK(detail.value[1] == wrong[i] && detail.value[2] == classes);
        CHECK(result.prediction == 99 && result.loss_norm == 98 && result.saturated == 97);
        CHECK(pt_trainer_begin(&trainer, image, wrong[i], NULL) == PT_ERR_LABEL);
        CHECK(pt_trainer_next(&trainer, NULL, 0).kind == PT_DONE);
    }
    CHECK(keep(state[1]) == size && memcmp(state[0], state[1], size) == 0);
    struct pt_result result;
    CHECK(pt_trainer_train(&trainer, image, classes - 1u, &result, NULL) == PT_OK);
}

/* What a method does not use may hold anything, and changes nothing. */
static void unused_fields(const struct pt_method *plain)
{
    struct pt_method method = *plain;
    open_with(&method);
    train(4, 11);
    const uint32_t size = keep(state[0]);
    const struct pt_checkpoint head = pt_state_describe(&trainer);
    const bool scores = pt_method_scores(&method);
    method.threshold = scores ? method.threshold : INT32_MIN;
    method.start = scores ? method.start : UINT32_MAX;
    method.seed = scores ? method.seed : UINT32_MAX;
    method.permille = method.kind == PT_PRIOT_S ? method.permille : UINT32_MAX;
    method.selection = method.kind == PT_PRIOT_S ? method.selection : UINT32_MAX;
    open_with(&method);
    CHECK(pt_state_accept(&trainer, &head, NULL) == PT_OK);
    train(4, 11);
    CHECK(keep(state[1]) == size && memcmp(state[0], state[1], size) == 0);
    /* A seed that nothing is drawn by is none; one that something is drawn by is another state. */
    method.start = PT_START_ZERO;
    method.selection = PT_SELECT_WEIGHT;
    open_with(&method);
    const struct pt_checkpoint undrawn = pt_state_describe(&trainer);
    method.seed ^= 1u;
    open_with(&method);
    CHECK(pt_state_accept(&trainer, &undrawn, NULL) == PT_OK);
    method.start = PT_START_NORMAL;
    open_with(&method);
    const struct pt_checkpoint drawn = pt_state_describe(&trainer);
    method.seed ^= 1u;
    open_with(&method);
    CHECK(pt_state_accept(&trainer, &drawn, NULL) == (scores ? PT_ERR_CHECKPOINT : PT_OK));
}

/* Of methods that learn nothing, where the network has them. */
static void nothing_learns(void)
{
    const struct pt_method any = {PT_INFER, INT32_MIN, INT32_MIN, 0, 9, 9, 9, UINT32_MAX};
    struct pt_method method = any;
    open_with(&method);
    (void)pt_trainer_predict(&trainer, image);
    if (pt_model_affine(&trainer.model)) {
        method.kind = PT_FISHER;
        CHECK(pt_trainer_method(&trainer, &method, NULL) == PT_ERR_ARGUMENT); /* it uses easy */
        method.easy = 0;
        open_with(&method);
        train(3, 5);
        CHECK(pt_state_size(&trainer) == 0);
    }
}

/* In pieces of any size it is the state, and written back it is the trainer's again. */
static void pieces(const struct pt_method *method)
{
    open_with(method);
    train(2, 3);
    const struct pt_checkpoint head = pt_state_describe(&trainer);
    const uint32_t size = keep(state[0]);
    for (uint32_t step = 1; step < size; step = 3 * step + 2) {
        memset(state[1], 0x55, STATE);
        for (uint32_t at = 0; at < size; at += step) {
            const uint32_t part = size - at < step ? size - at : step;
            pt_state_read(&trainer, at, state[1] + at, part);
        }
        CHECK(memcmp(state[0], state[1], size) == 0 && state[1][size] == 0x55);
        open_with(method);
        CHECK(pt_state_writable(&trainer, NULL) == PT_OK);
        CHECK(pt_state_accept(&trainer, &head, NULL) == PT_OK);
        for (uint32_t at = 0; at < size; at += step) {
            const uint32_t part = size - at < step ? size - at : step;
            pt_state_write(&trainer, at, state[0] + at, part);
        }
        const struct pt_checkpoint now = pt_state_describe(&trainer);
        CHECK(memcmp(&head, &now, sizeof head) == 0);
    }
}

/* What NITI has trained is a model of its own once it is sealed. */
static void sealed(const struct pt_method *method)
{
    open_with(method);
    train(6, 21);
    const uint32_t prediction = pt_trainer_predict(&trainer, image).prediction;
    const uint32_t size = keep(state[0]);
    CHECK(memcmp(arena, blob, blob_size) != 0);
    CHECK(pt_trainer_open(&trainer, arena, blob_size, false, NULL) == PT_ERR_BLOB_CRC);
    open_with(method);
    train(6, 21);
    CHECK(pt_trainer_seal(&trainer, NULL) == PT_OK);
    CHECK(pt_trainer_open(&trainer, arena, blob_size, false, NULL) == PT_OK);
    CHECK(pt_trainer_method(&trainer, method, NULL) == PT_OK);
    CHECK(pt_trainer_predict(&trainer, image).prediction == prediction);
    CHECK(keep(state[1]) == size && memcmp(state[0], state[1], size) == 0);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    blob = read_file(argv[1], &blob_size);
    without_details();
    nothing_learns();
    for (uint32_t i = 0; i < METHODS; ++i) {
        labels(&methods[i]);
        unused_fields(&methods[i]);
        pieces(&methods[i]);
        if (pt_method_weights(&methods[i])) {
            sealed(&methods[i]);
        }
    }
    (void)puts("as promised");
    return 0;
}
