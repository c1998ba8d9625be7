#include "nn/pt_method.h"

#include "kernels/pt_numerics.h"

static int check(struct pt_detail *detail, uint32_t field, int32_t value, int32_t least,
                 int32_t most)
{
    if (value < least || value > most) {
        return pt_refuse(detail, PT_ERR_ARGUMENT, field, (uint32_t)value, (uint32_t)least,
                         (uint32_t)most);
    }
    return PT_OK;
}

int pt_method_check_mu(int32_t mu, struct pt_detail *detail)
{
    return check(detail, 1, mu, PT_MIN_MU, PT_MAX_MU);
}

int pt_method_check(const struct pt_method *method, struct pt_detail *detail)
{
    int err = check(detail, 0, (int32_t)method->kind, PT_INFER, PT_METHOD_KINDS - 1);
    if (!err && pt_method_learns(method)) {
        err = pt_method_check_mu(method->mu, detail);
    }
    if (!err && pt_method_scores(method)) {
        err = check(detail, 2, method->threshold, -PT_S8_MAX, PT_S8_MAX);
    }
    if (!err && method->kind == PT_PRIOT_S) {
        err = check(detail, 3, (int32_t)method->permille, 1, 1000);
    }
    if (!err && method->kind == PT_PRIOT_S) {
        err = check(detail, 4, (int32_t)method->selection, 0, PT_SELECTIONS - 1);
    }
    if (!err && pt_method_scores(method)) {
        err = check(detail, 5, (int32_t)method->start, 0, PT_STARTS - 1);
    }
    if (!err && pt_method_backward(method)) {
        err = check(detail, 7, (int32_t)method->easy, 0, PT_MAX_EASY);
    }
    return err;
}

struct pt_method pt_method_bare(const struct pt_method *method)
{
    const bool scores = pt_method_scores(method);
    const bool chooses = method->kind == PT_PRIOT_S;
    struct pt_method bare = {method->kind, 0, 0, 0, 0, 0, 0, 0};
    bare.mu = pt_method_learns(method) ? method->mu : 0;
    bare.easy = pt_method_backward(method) ? method->easy : 0u;
    if (scores) {
        bare.threshold = method->threshold;
        bare.start = method->start;
    }
    if (chooses) {
        bare.permille = method->permille;
        bare.selection = method->selection;
    }
    if ((scores && method->start == PT_START_NORMAL) ||
        (chooses && method->selection == PT_SELECT_RANDOM)) {
        bare.seed = method->seed;
    }
    return bare;
}
