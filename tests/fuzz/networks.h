/*
 * What targets that have a model ask of it.
 */
#ifndef FUZZ_NETWORKS_H
#define FUZZ_NETWORKS_H

#include <stdint.h>

#include "nn/pt_model.h"

/* Makes blob[0..size) one whose magic, version, size and CRC are right, if it holds a header. */
void fuzz_seal(uint8_t *blob, uint32_t size);

/* Multiplications of a forward pass, comparisons and additions of pools included. */
uint64_t fuzz_work(const struct pt_model *model);

#endif
