/*
 * Every way in which the library refuses. Functions return 0 or one of these, and struct pt_detail
 * explains the refusal in numbers: it is written on an error only, and may be NULL in every
 * function that takes one.
 */
#ifndef PT_ERROR_H
#define PT_ERROR_H

#include <stddef.h>
#include <stdint.h>

enum pt_error {
    PT_OK = 0,
    PT_ERR_COMMAND = -1,       /* no such command: {command} */
    PT_ERR_ARGUMENT = -2,      /* argument out of range: {argument, value, least, most} */
    PT_ERR_STATE = -3,         /* not now: {state, state needed} */
    PT_ERR_BLOB_SIZE = -4,     /* blob cut or extended: {size given, size needed} */
    PT_ERR_BLOB_MAGIC = -5,    /* not a model blob: {found, expected} */
    PT_ERR_BLOB_VERSION = -6,  /* made for another firmware: {found, expected} */
    PT_ERR_BLOB_CRC = -7,      /* damaged: {found, expected} */
    PT_ERR_BLOB_LAYERS = -8,   /* number of layers or classes: {layers, most, classes, most} */
    PT_ERR_LAYER_KIND = -9,    /* unknown layer kind or flag: {layer, kind, relu} */
    PT_ERR_LAYER_SHAPE = -10,  /* geometry absurd or not chained to the layer before: {layer} */
    PT_ERR_LAYER_TERMS = -11,  /* a sum could overflow int32: {layer, terms, most} */
    PT_ERR_LAYER_SCALE = -12,  /* shift, range or exponent out of range: {layer, value} */
    PT_ERR_LAYER_OFFSET = -13, /* weights not where they belong: {layer, found, expected} */
    PT_ERR_WEIGHT = -14,       /* a weight or score of -128: {layer, index} */
    PT_ERR_HEAD = -15,         /* last layer not linear, with ReLU, or not the classes: {layer} */
    PT_ERR_EXPONENT = -16,     /* of the logits, too small for the loss: {exponent, least, as
                                  uint32} */
    PT_ERR_MEMORY = -17,       /* does not fit: {bytes needed, bytes there, bytes of the largest
                                  buffer, kind << 8 | layer of that (enum pt_memory_kind)} */
    PT_ERR_BATCH = -18,        /* batch too large for the io window: {images, most} */
    PT_ERR_LABEL = -19,        /* label not a class: {image, label, classes} */
    PT_ERR_TENSOR = -20,       /* no such tensor now: {tensor, layer} */
    PT_ERR_RANGE = -21,        /* tensor range outside: {offset, count, size} */
    PT_ERR_CHECKPOINT = -22,   /* checkpoint of another model or method, or damaged: {field} */
    PT_ERR_OPERAND = -23,      /* operand of another size, or outside the window: {operand, offset,
                                  size, size needed} */
    PT_ERR_ALIGNMENT = -24,    /* operand not aligned: {operand, offset, alignment} */
    PT_ERR_OVERLAP = -25,      /* operands share memory: {operand, operand} */
    PT_ERR_BITMAP = -26,       /* bit set behind the last edge of a row: {row} */
    PT_ERR_FROZEN = -27,       /* the weights lie in flash and cannot change: {method kind} */
    PT_ERR_BLOB_FORM = -28,    /* no such form: {form, forms} */
    PT_ERR_LAYER_INPUT = -29,  /* reads a tensor that is not made before it, or of another shape, or
                                  another number of tensors: {layer, place in inputs, found} */
    PT_ERR_LAYER_UNREAD = -30, /* output that no layer reads: {layer; PT_INPUT_LAYER: the input} */
    PT_ERR_LAYER_BOUNDS = -31, /* low above high: {layer, low, high, as uint32} */
    PT_ERR_LAYER_ZERO = -32,   /* zero points that a layer without factors would change: {layer,
                                  of its input, of its output, as uint32} */
    PT_ERR_LAYER_FACTORS = -33, /* number of factors that the kind cannot have: {layer, factors} */
    PT_ERR_FACTOR = -34,       /* bias, multiplier or shift out of range: {layer, row, multiplier,
                                  shift, as uint32} */
    PT_ERR_LAYER_RANGE = -35,  /* a sum times 2^shift could overflow int32: {layer, row, magnitude
                                  of the sum or 2^31, shift} */
    PT_ERR_AFFINE = -36,       /* affine weights under a method that does not train them: {method
                                  kind} */
    PT_ERR_BLOB_LOGITS = -37,  /* scale of the logits out of range: {multiplier, exponent, as
                                  uint32} */
    /* Of affine networks that a method cannot train: */
    PT_ERR_TRAIN_SIZE = -38,    /* too many: {layers, most, outputs, most} */
    PT_ERR_TRAIN_NOTHING = -39, /* no layer has weights */
    PT_ERR_TRAIN_WEIGHT = -40,  /* a weight of -128: {layer, index} */
    PT_ERR_TRAIN_TERMS = -41,   /* a sum could overflow int32: {layer, terms, most} */
    PT_ERR_TRAIN_FACTOR = -42,  /* multipliers of 0 end the error: {layer, of so many, so many} */
    PT_ERR_TRAIN_RANGE = -43,   /* a sum of trained weights could overflow int32: {layer, row,
                                   magnitude of the sum or 2^31, shift, as uint32} */
    /* Of sparse updates: */
    PT_ERR_SPARSE_FORM = -44,     /* the method is for affine networks: {form, form needed} */
    PT_ERR_ROWS = -45,            /* more rows than a selection holds: {bytes of bits, most} */
    PT_ERR_SELECTION_SIZE = -46,  /* bits of another network: {bytes given, bytes needed} */
    PT_ERR_SELECTION_ROW = -47,   /* a bit behind a layer's last row: {layer, row, rows} */
    PT_ERR_SELECTION_EMPTY = -48, /* no row is selected */
    PT_ERR_SELECTION_METHOD = -49, /* the method takes no selection: {method kind} */
    PT_ERR_METHOD_NEEDED = -50,   /* under another method alone: {method kind, kind needed} */
    PT_ERR_BUDGET = -51,          /* nothing fits: {fewest bytes and MACs of one layer alone, bytes
                                     and MACs given} */
    PT_ERR_PROTOTYPE_HEAD = -52,  /* the last layer is not linear, or too long: {layer, inputs,
                                     most; 0 and 0: not linear} */
    PT_ERR_CLASS_EMPTY = -53,     /* no image of that class was seen: {class, classes} */
    /* Of states in flash: */
    PT_ERR_STORE_FLASH = -54,   /* numbers of a flash that cannot be: {sector, page, sectors, most
                                   sectors} */
    PT_ERR_STORE_VERSION = -55, /* the newest state is of another version: {found, expected,
                                   sector} */
    PT_ERR_STORE_ROOM = -56,    /* no room beside the newest state: {sectors needed with it, sectors
                                   there, worn ones of them} */
    PT_ERR_STORE_EMPTY = -57,   /* no state was kept: {sectors} */
    PT_ERR_STORE_DAMAGED = -58, /* no state can be read, though there was one: {its sector} */
    /* Of memory that must not change by itself: */
    PT_ERR_DAMAGED = -59, /* it did: {enum pt_region, sum found, sum expected} */
    /* Of a build without one of the forms: */
    PT_ERR_FORM = -60, /* that one (pt_forms.h): {form} */
};

struct pt_detail {
    uint32_t value[4];
};

/* Fills `detail`, if it is there, and returns `error`, so that a refusal is one statement. */
static inline int pt_refuse(struct pt_detail *detail, int error, uint32_t a, uint32_t b,
                            uint32_t c, uint32_t d)
{
    if (detail != NULL) {
        detail->value[0] = a;
        detail->value[1] = b;
        detail->value[2] = c;
        detail->value[3] = d;
    }
    return error;
}

#endif
