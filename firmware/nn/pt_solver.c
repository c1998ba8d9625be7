#include "nn/pt_solver.h"

#include "kernels/pt_memory.h"
#include "nn/pt_fisher.h"
#include "nn/pt_trainer_parts.h"
#include "nn/pt_wide.h"

enum {
    MOST_UNITS = 128,     /* that a budget of MACs is divided into */
    TOO_MANY = MOST_UNITS + 1,
    VALUE_BITS = 24,
};

/* multiplier * 2^exponent, the multiplier 0 or at least 2^31. */
struct number {
    uint32_t multiplier;
    int32_t exponent;
};

/* What the solvers know of a layer. */
struct candidate {
    uint32_t rows;      /* that would be selected; 0: it has no weights */
    uint64_t backward;  /* MACs of its error operation, where that runs */
    uint64_t update;    /* MACs of its update */
    uint32_t errors;    /* layers whose error operations it needs, as bits */
    struct number rank; /* of the greedy order, 0: never taken */
    uint32_t value;     /* of the other solver, 0: never taken */
};

struct workspace {
    struct candidate candidate[PT_MAX_TRAINED_LAYERS];
    uint32_t best[PT_MAX_TRAINED_LAYERS][MOST_UNITS + 1]; /* 0: nothing fits */
    struct pt_selected selected; /* what is being tried */
    struct pt_plan plan;
};

/* What all parts of a run share. */
struct run {
    const struct pt_trainer *t;
    const struct pt_model *model;
    struct pt_method method; /* that the rows are for */
    const struct pt_solver_job *job;
    struct workspace *work;
    uint32_t layers;
};

static struct number reduced(uint64_t value, int32_t exponent)
{
    struct number number = {0, exponent};
    if (value == 0u) {
        number.exponent = 0;
        return number;
    }
    while (value >> 32 != 0u) {
        value >>= 1;
        ++number.exponent;
    }
    while (value < 1u << 31) {
        value <<= 1;
        --number.exponent;
    }
    number.multiplier = (uint32_t)value;
    return number;
}

static struct number times(struct number a, struct number b)
{
    return reduced(pt_wide_product(a.multiplier, b.multiplier), a.exponent + b.exponent);
}

static struct number over(struct number a, struct number b)
{
    return reduced(pt_wide_quotient((uint64_t)a.multiplier << 32, b.multiplier),
                   a.exponent - b.exponent - 32);
}

static bool above(struct number a, struct number b)
{
    if (a.multiplier == 0u || b.multiplier == 0u) {
        return b.multiplier == 0u && a.multiplier != 0u;
    }
    return a.exponent > b.exponent ||
           (a.exponent == b.exponent && a.multiplier > b.multiplier);
}

/* floor(a * 2^VALUE_BITS / most), `most` being not less than a and not 0. */
static uint32_t share_of(struct number a, struct number most)
{
    int32_t shift = VALUE_BITS - (most.exponent - a.exponent);
    if (a.multiplier == 0u || shift < 0) {
        return 0;
    }
    uint64_t value = a.multiplier;
    for (; shift > 0; --shift) {
        value <<= 1;
    }
    return (uint32_t)pt_wide_quotient(value, most.multiplier);
}

static bool reads(const struct pt_model_layer *layer, uint32_t tensors)
{
    for (uint32_t i = 0; i < pt_operators[layer->kind]->inputs; ++i) {
        if (layer->input[i] < PT_MAX_TRAINED_LAYERS && (tensors >> layer->input[i] & 1u) != 0u) {
            return true;
        }
    }
    return false;
}

/* Layers whose error operation runs if rows of that one alone learn, as bits. */
static uint32_t errors_above(const struct run *run, uint32_t layer)
{
    uint32_t learns = 1u << layer;
    for (uint32_t l = layer + 1u; l < run->layers; ++l) {
        learns |= reads(&run->model->layer[l], learns) ? 1u << l : 0u;
    }
    return learns & ~(1u << layer);
}

/* Scales of errors do not depend on images: those of every layer, as a step would find them. */
static void find_scales(const struct run *run, struct pt_error_scale *scale)
{
    memset(scale, 0, sizeof *scale * PT_MAX_TRAINED_LAYERS);
    scale[run->layers - 1u].multiplier = PT_ERROR_SCALE_ONE;
    for (uint32_t i = run->layers + 1u; i < run->t->plan.operations; ++i) {
        const uint32_t l = run->t->plan.operation[i].layer;
        const struct pt_model_layer *layer = &run->model->layer[l];
        const struct pt_operator *op = pt_operators[layer->kind];
        struct pt_affine_error pass = {
            .shape = &layer->shape,
            .factor = pt_model_factors(run->model, l),
            .factors = layer->factors,
            .scale = scale[l],
        };
        const uint32_t shift = op->error_affine_s32 == NULL ? 0u : layer->error_shift;
        for (uint32_t j = 0; j < op->inputs; ++j) {
            const uint32_t tensor = layer->input[j];
            if (tensor == PT_INPUT_LAYER ||
                pt_plan_error(&run->t->plan, run->layers, tensor) == NULL) {
                continue;
            }
            (void)pt_error_scale_merge(
                NULL, &scale[tensor], pt_error_scale_lifted(op->error_scale(&pass, j), shift));
        }
    }
}

/* Of D: what `rows` of the largest are, at least; and how many of exactly that are among them. */
static uint64_t least_of_largest(const uint64_t *fisher, uint32_t all, uint32_t rows,
                                 uint32_t *ties)
{
    uint64_t least = 0;
    uint32_t higher = 0;
    for (uint64_t bit = (uint64_t)1 << 63; bit != 0u; bit >>= 1) {
        uint32_t count = 0;
        for (uint32_t o = 0; o < all; ++o) {
            count += fisher[o] >= (least | bit) ? 1u : 0u;
        }
        least |= count >= rows ? bit : 0u;
    }
    for (uint32_t o = 0; o < all; ++o) {
        higher += fisher[o] > least ? 1u : 0u;
    }
    *ties = rows - higher;
    return least;
}

/* The sum of D over the largest rows, at most 2^64 - 1; sets their bits where there are bits. */
static uint64_t sum_largest(const uint64_t *fisher, uint32_t all, uint32_t rows, uint8_t *bits)
{
    uint32_t ties;
    const uint64_t least = least_of_largest(fisher, all, rows, &ties);
    uint64_t sum = 0;
    for (uint32_t o = 0; o < all; ++o) {
        if (fisher[o] < least || (fisher[o] == least && ties == 0u)) {
            continue;
        }
        ties -= fisher[o] == least ? 1u : 0u;
        sum = sum + fisher[o] < sum ? UINT64_MAX : sum + fisher[o];
        if (bits != NULL) {
            bits[o / 8u] = (uint8_t)(bits[o / 8u] | 1u << o % 8u);
        }
    }
    return sum;
}

static void describe(const struct run *run, uint32_t l, struct pt_error_scale scale,
                     struct number *potential)
{
    const struct pt_model_layer *layer = &run->model->layer[l];
    struct candidate *candidate = &run->work->candidate[l];
    const uint32_t all = pt_layer_rows(layer);
    *candidate = (struct candidate){0};
    *potential = reduced(0, 0);
    candidate->errors = errors_above(run, l);
    if (all == 0u) {
        return;
    }
    const uint64_t *fisher = pt_fisher_of(run->t, l);
    const uint32_t positions = pt_shape_positions(&layer->shape);
    candidate->rows = (all * run->job->permille + 999u) / 1000u;
    candidate->backward = pt_wide_product(positions, layer->weights_size);
    candidate->update = pt_wide_product(positions, pt_layer_row_length(layer) * candidate->rows);
    const int32_t lift = scale.exponent - 15 + (int32_t)pt_fisher_halvings(&layer->shape);
    const struct number unit =
        reduced((uint32_t)scale.multiplier * scale.multiplier, 2 * lift);
    const struct number sum = reduced(sum_largest(fisher, all, all, NULL), 0);
    const uint64_t square = pt_wide_product(layer->weights_size, layer->weights_size); /* < 2^45 */
    const uint64_t cost = ((uint64_t)((uint32_t)(square >> 32) * positions) << 32) +
                          pt_wide_product((uint32_t)square, positions);
    candidate->rank = over(times(sum, unit), reduced(cost, 0));
    *potential = times(reduced(sum_largest(fisher, all, candidate->rows, NULL), 0), unit);
}

static void set_rows(const struct run *run, uint32_t layer, bool learn)
{
    const struct pt_model_layer *entry = &run->model->layer[layer];
    uint8_t *bits = run->work->selected.bits + pt_selection_offset(run->model, layer);
    memset(bits, 0, pt_selection_layer_size(entry));
    if (learn) {
        (void)sum_largest(pt_fisher_of(run->t, layer), pt_layer_rows(entry),
                          run->work->candidate[layer].rows, bits);
    }
}

/* What a backward pass takes that trains the candidates among these layers, which are bits. */
static uint64_t macs_of(const struct run *run, uint32_t layers)
{
    uint64_t macs = 0;
    uint32_t errors = 0;
    for (uint32_t l = 0; l < run->layers; ++l) {
        const struct candidate *candidate = &run->work->candidate[l];
        if ((layers >> l & 1u) != 0u) {
            macs += candidate->update;
            errors |= candidate->errors;
        }
    }
    for (uint32_t l = 0; l < run->layers; ++l) {
        macs += (errors >> l & 1u) != 0u ? run->work->candidate[l].backward : 0u;
    }
    return macs;
}

/* What the plan for the rows that are being tried takes. */
static uint32_t bytes_of(const struct run *run)
{
    const struct pt_planned planned = {run->model, &run->method, &run->work->selected,
                                       run->t->frozen, false};
    const struct pt_plan *plan = &run->work->plan;
    struct pt_detail ignored;
    (void)pt_plan_make(&run->work->plan, &planned, UINT32_MAX, &ignored);
    return (planned.frozen ? plan->blob_size : 0u) + plan->scores_size + plan->transient_size;
}

/* The layers that are selected, as bits: in the order of their ranks, what fits. */
static uint32_t solve_greedily(const struct run *run)
{
    uint32_t seen = 0;
    uint32_t taken = 0;
    for (;;) {
        uint32_t next = run->layers;
        struct number rank = {0, 0};
        for (uint32_t l = 0; l < run->layers; ++l) {
            const struct number other = run->work->candidate[l].rank;
            if ((seen >> l & 1u) == 0u && above(other, rank)) {
                next = l;
                rank = other;
            }
        }
        if (next == run->layers) {
            return taken;
        }
        seen |= 1u << next;
        set_rows(run, next, true);
        if (macs_of(run, taken | 1u << next) <= run->job->macs &&
            bytes_of(run) <= run->job->bytes) {
            taken |= 1u << next;
        } else {
            set_rows(run, next, false);
        }
    }
}

/* Rounded up, and TOO_MANY for all that no budget holds. */
static uint32_t units_of(uint64_t macs, uint32_t unit)
{
    const uint64_t units = pt_wide_quotient(macs + unit - 1u, unit);
    return units > TOO_MANY ? TOO_MANY : (uint32_t)units;
}

/* MACs of the error operations that are bits of `errors`, in units. */
static uint32_t error_units(const struct run *run, uint32_t errors, uint32_t unit)
{
    uint64_t macs = 0;
    for (uint32_t l = 0; l < run->layers; ++l) {
        macs += (errors >> l & 1u) != 0u ? run->work->candidate[l].backward : 0u;
    }
    return units_of(macs, unit);
}

/* best(l, .) from best of the later layers. */
static void fill_best(const struct run *run, uint32_t l, uint32_t unit)
{
    const struct candidate *candidate = &run->work->candidate[l];
    uint32_t *best = run->work->best[l];
    memset(best, 0, sizeof run->work->best[l]);
    if (candidate->value == 0u) {
        return;
    }
    const uint32_t update = units_of(candidate->update, unit);
    const uint32_t alone = update + error_units(run, candidate->errors, unit);
    for (uint32_t b = alone; b <= MOST_UNITS; ++b) {
        best[b] = candidate->value;
    }
    for (uint32_t j = l + 1u; j < run->layers; ++j) {
        if (run->work->candidate[j].value == 0u) {
            continue;
        }
        const uint32_t more =
            update + error_units(run, candidate->errors & ~run->work->candidate[j].errors, unit);
        for (uint32_t b = more; b <= MOST_UNITS; ++b) {
            const uint32_t rest = run->work->best[j][b - more];
            if (rest != 0u && candidate->value + rest > best[b]) {
                best[b] = candidate->value + rest;
            }
        }
    }
}

/* The layers behind best(l, b), as bits: the first choice that makes it, from each layer on. */
static uint32_t follow_best(const struct run *run, uint32_t l, uint32_t b, uint32_t unit)
{
    uint32_t taken = 0;
    for (;;) {
        const struct candidate *candidate = &run->work->candidate[l];
        const uint32_t best = run->work->best[l][b];
        const uint32_t update = units_of(candidate->update, unit);
        taken |= 1u << l;
        if (best == candidate->value) {
            return taken;
        }
        for (uint32_t j = l + 1u; j < run->layers; ++j) {
            const uint32_t more = update + error_units(run, candidate->errors &
                                                       ~run->work->candidate[j].errors, unit);
            if (run->work->candidate[j].value != 0u && more <= b &&
                run->work->best[j][b - more] == best - candidate->value) {
                b -= more;
                l = j;
                break;
            }
        }
    }
}

static uint32_t solve_at_true_cost(const struct run *run)
{
    const uint32_t unit = (run->job->macs - 1u) / MOST_UNITS + 1u;
    const uint32_t units = run->job->macs / unit; /* so that rounding grants no more */
    uint32_t first = run->layers;
    uint32_t taken = 0;
    for (uint32_t l = run->layers; l-- > 0u;) {
        fill_best(run, l, unit);
        const uint32_t best = run->work->best[l][units];
        if (best != 0u && (first == run->layers || best >= run->work->best[first][units])) {
            first = l;
        }
    }
    if (first != run->layers) {
        taken = follow_best(run, first, units, unit);
    }
    for (uint32_t l = 0; l < run->layers; ++l) {
        if ((taken >> l & 1u) != 0u) {
            set_rows(run, l, true);
        }
    }
    while (taken != 0u && bytes_of(run) > run->job->bytes) {
        uint32_t least = run->layers;
        for (uint32_t l = 0; l < run->layers; ++l) {
            if ((taken >> l & 1u) != 0u &&
                (least == run->layers ||
                 run->work->candidate[l].value < run->work->candidate[least].value)) {
                least = l;
            }
        }
        taken &= ~(1u << least);
        set_rows(run, least, false);
    }
    return taken;
}

/* The fewest bytes and the fewest MACs of one layer alone. */
static int refuse_budget(const struct run *run, struct pt_detail *detail)
{
    uint32_t bytes = UINT32_MAX;
    uint64_t macs = UINT32_MAX;
    for (uint32_t l = 0; l < run->layers; ++l) {
        if (run->work->candidate[l].rows == 0u) {
            continue;
        }
        set_rows(run, l, true);
        const uint32_t taken = bytes_of(run);
        const uint64_t work = macs_of(run, 1u << l);
        bytes = taken < bytes ? taken : bytes;
        macs = work < macs ? work : macs;
        set_rows(run, l, false);
    }
    return pt_refuse(detail, PT_ERR_BUDGET, bytes, (uint32_t)macs, run->job->bytes,
                     run->job->macs);
}

static int check_job(const struct pt_solver_job *job, struct pt_detail *detail)
{
    const uint32_t bounds[5][3] = {
        {job->solver, 0, PT_SOLVERS - 1},  {job->permille, 1, 1000}, {job->bytes, 1, UINT32_MAX},
        {job->macs, 1, UINT32_MAX},        {job->method, PT_NITI_DYNAMIC, PT_PRIOT},
    };
    for (uint32_t i = 0; i < 5u; ++i) {
        if (bounds[i][0] < bounds[i][1] || bounds[i][0] > bounds[i][2]) {
            return pt_refuse(detail, PT_ERR_ARGUMENT, i, bounds[i][0], bounds[i][1], bounds[i][2]);
        }
    }
    return PT_OK;
}

uint32_t pt_solver_scratch(void)
{
    return sizeof(struct workspace);
}

int pt_solver_run(struct pt_trainer *t, const struct pt_solver_job *job, void *scratch,
                  struct pt_solution *solution, struct pt_detail *detail)
{
    struct run run = {t, &t->model, t->method, job, scratch, t->model.header->layers};
    struct pt_error_scale scale[PT_MAX_TRAINED_LAYERS];
    struct number potential[PT_MAX_TRAINED_LAYERS];
    struct number most = {0, 0};
    uint32_t size = 0;
    int err = check_job(job, detail);
    if (!err) {
        err = pt_selection_size(run.model, &size, detail);
    }
    if (err) {
        return err;
    }
    run.method.kind = job->method;
    find_scales(&run, scale);
    for (uint32_t l = 0; l < run.layers; ++l) {
        describe(&run, l, scale[l], &potential[l]);
        most = above(potential[l], most) ? potential[l] : most;
    }
    for (uint32_t l = 0; l < run.layers; ++l) {
        run.work->candidate[l].value = share_of(potential[l], most);
    }
    memset(run.work->selected.bits, 0, PT_MAX_SELECTION);
    run.work->selected.size = size;
    const uint32_t taken = job->solver == PT_SOLVER_GREEDY ? solve_greedily(&run)
                                                           : solve_at_true_cost(&run);
    if (taken == 0u) {
        return refuse_budget(&run, detail);
    }
    const uint64_t macs = macs_of(&run, taken);
    *solution = (struct pt_solution){
        bytes_of(&run),
        macs > UINT32_MAX ? UINT32_MAX : (uint32_t)macs,
        0,
        0,
    };
    for (uint32_t l = 0; l < run.layers; ++l) {
        if ((taken >> l & 1u) != 0u) {
            ++solution->layers;
            solution->rows += run.work->candidate[l].rows;
        }
    }
    memcpy(&t->selected, &run.work->selected, sizeof t->selected);
    return PT_OK;
}
