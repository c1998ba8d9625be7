/*
 * A network that knows upright digits gets to know turned ones. Returns 0 if it is right more often
 * afterwards. docs/library.md says how model.h and samples.h are made.
 */
#include "model.h"
#include "picotrain.h"
#include "samples.h"

#if __STDC_HOSTED__
#include <stdio.h>
#else
#define printf(...) ((void)0)
#endif

PT_ARENA(arena, 96u * 1024u);
static struct pt_trainer trainer;

/* Of the second half of the samples, which it does not learn. */
static uint32_t right(void)
{
    uint32_t count = 0;
    for (uint32_t i = SAMPLES / 2u; i < SAMPLES; ++i) {
        count += pt_trainer_predict(&trainer, sample[i]).prediction == label[i] ? 1u : 0u;
    }
    return count;
}

int main(void)
{
    struct pt_detail why;
    struct pt_method method = pt_method_of(PT_PRIOT);
    pt_trainer_reset(&trainer, arena, sizeof arena_words);
    int error = pt_trainer_open_flash(&trainer, pt_network_tinycnn, PT_NETWORK_TINYCNN_SIZE, &why);
    error = error ? error : pt_trainer_method(&trainer, &method, &why);
    if (error) {
        return error;
    }
    const uint32_t before = right();
    for (int32_t mu = method.mu; mu >= 2; --mu) {
        pt_trainer_set_mu(&trainer, mu, &why);
        for (uint32_t i = 0; i < SAMPLES / 2u; ++i) {
            pt_trainer_train(&trainer, sample[i], label[i], NULL, &why);
        }
    }
    const uint32_t after = right();
    printf("right: %u of %u before, %u after\n", (unsigned)before, SAMPLES / 2u, (unsigned)after);
    return after > before ? 0 : 1;
}
