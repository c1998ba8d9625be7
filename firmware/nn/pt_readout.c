#include "nn/pt_readout.h"

#include "nn/pt_affine_step.h"
#include "nn/pt_loss.h"
#include "nn/pt_trainer_parts.h"

const int8_t *pt_trainer_logits(const struct pt_trainer *t)
{
    return pt_part_activation(t, t->model.header->layers - 1u);
}

uint32_t pt_trainer_confidence(const struct pt_trainer *t)
{
    int8_t error[PT_MAX_CLASSES];
    const uint32_t classes = t->model.header->classes;
    const uint32_t class = t->result.prediction;
    const int8_t *logits = pt_trainer_logits(t);
    if (classes > PT_MAX_CLASSES) {
        return 0;
    }
    if (pt_model_affine(&t->model)) {
        const struct pt_logits of = pt_affine_step_logits(&t->model);
        pt_loss_affine_error_s8(logits, &of, logits[class], classes, class, error);
    } else {
        pt_loss_error_s8(logits, t->exponent, logits[class], classes, class, error);
    }
    /* The error of the right class is its share less 1. */
    return (uint32_t)(PT_SURE + error[class]);
}
