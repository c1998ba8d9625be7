#include "nn/pt_scores.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernels/pt_memory.h"
#include "kernels/pt_numerics.h"
#include "nn/pt_generator.h"

struct pt_scores pt_scores_at(uint8_t *memory, const struct pt_planned *planned, uint32_t layer,
                              const struct pt_allotment *allotment)
{
    const struct pt_model_layer *entry = &planned->model->layer[layer];
    const bool priot_s = planned->method->kind == PT_PRIOT_S;
    const bool selected = !priot_s && planned->selected->size != 0u;
    struct pt_scores scores = {NULL, NULL, 0};
    if (!pt_method_scores(planned->method) || (selected && !pt_planned_learns(planned, layer))) {
        return scores;
    }
    scores.score = (int8_t *)memory;
    scores.count = entry->weights_size;
    if (priot_s) {
        scores.count = pt_scored_edges(entry, allotment);
    } else if (selected) {
        scores.count = pt_layer_row_length(entry) *
                       pt_selection_rows(planned->selected, planned->model, layer);
    }
    if (priot_s || selected) {
        scores.bitmap = memory + pt_round4(scores.count);
    }
    return scores;
}

/* What edges are ranked by: 16 bits. */
struct ranking {
    const int8_t *weights;
    uint32_t generator;
    uint32_t selection;
};

static uint32_t rank_of(const struct ranking *ranking, uint32_t edge)
{
    if (ranking->selection == PT_SELECT_WEIGHT) {
        return pt_abs_s32(ranking->weights[edge]);
    }
    return pt_generator_word(ranking->generator, edge) >> 16;
}

/*
 * The rank of the `wanted`-th best edge, and how many edges of exactly that rank are wanted. Two
 * counting passes, over the high and the low byte, need 1 KiB of stack and no sorting.
 */
static uint32_t cut_rank(const struct ranking *ranking, uint32_t edges, uint32_t wanted,
                         uint32_t *ties)
{
    uint32_t cut = 0;
    for (uint32_t pass = 0; pass < 2u; ++pass) {
        uint32_t histogram[256] = {0};
        for (uint32_t edge = 0; edge < edges; ++edge) {
            const uint32_t rank = rank_of(ranking, edge);
            if (pass == 0u) {
                ++histogram[rank >> 8];
            } else if (rank >> 8 == cut >> 8) {
                ++histogram[rank & 0xffu];
            }
        }
        uint32_t byte = 255;
        while (histogram[byte] < wanted) {
            wanted -= histogram[byte];
            --byte;
        }
        cut |= pass == 0u ? byte << 8 : byte;
    }
    *ties = wanted;
    return cut;
}

static void choose_edges(const struct pt_scores *scores, const struct pt_model_layer *layer,
                         const struct ranking *ranking)
{
    const uint32_t row_length = pt_layer_row_length(layer);
    const uint32_t bitmap_row = pt_bitmap_row_size(layer);
    uint32_t ties;
    const uint32_t cut = cut_rank(ranking, layer->weights_size, scores->count, &ties);
    memset(scores->bitmap, 0, pt_layer_rows(layer) * bitmap_row);
    uint32_t edge = 0;
    for (uint32_t row = 0; row < pt_layer_rows(layer); ++row) {
        uint8_t *bits = scores->bitmap + row * bitmap_row;
        for (uint32_t k = 0; k < row_length; ++k, ++edge) {
            const uint32_t rank = rank_of(ranking, edge);
            bool chosen = rank > cut;
            if (rank == cut && ties != 0u) {
                --ties;
                chosen = true;
            }
            if (chosen) {
                bits[k / 8u] = (uint8_t)(bits[k / 8u] | 1u << k % 8u);
            }
        }
    }
}

/* All edges of the selected rows. */
static void choose_rows(const struct pt_scores *scores, const struct pt_planned *planned,
                        uint32_t layer)
{
    const struct pt_model_layer *entry = &planned->model->layer[layer];
    const uint8_t *selected = pt_selection_bits(planned->selected, planned->model, layer);
    const uint32_t row_length = pt_layer_row_length(entry);
    const uint32_t bitmap_row = pt_bitmap_row_size(entry);
    uint8_t *bits = scores->bitmap;
    for (uint32_t row = 0; row < pt_layer_rows(entry); ++row, bits += bitmap_row) {
        const bool chosen = pt_selection_has(selected, row);
        memset(bits, chosen ? 0xff : 0, bitmap_row);
        if (chosen && row_length % 8u != 0u) {
            bits[bitmap_row - 1u] = (uint8_t)((1u << row_length % 8u) - 1u);
        }
    }
}

void pt_scores_initialise(const struct pt_scores *scores, const struct pt_planned *planned,
                          uint32_t layer)
{
    const struct pt_model *model = planned->model;
    const struct pt_method *method = planned->method;
    if (scores->bitmap != NULL && method->kind == PT_PRIOT) {
        choose_rows(scores, planned, layer);
    } else if (scores->bitmap != NULL) {
        const struct ranking ranking = {
            pt_model_weights(model, layer),
            pt_generator_key(method->seed, layer, PT_STREAM_SELECTION),
            method->selection,
        };
        choose_edges(scores, &model->layer[layer], &ranking);
    }
    const uint32_t key = pt_generator_key(method->seed, layer, PT_STREAM_SCORES);
    for (uint32_t i = 0; i < scores->count; ++i) {
        scores->score[i] = method->start == PT_START_ZERO ? 0 : pt_generator_normal_s8(key, i);
    }
}
