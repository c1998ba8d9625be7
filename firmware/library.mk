# The training library for a makefile of one's own:
#
#   include path/to/picotrain/firmware/library.mk
#   app: $(PICOTRAIN_SOURCES) main.c
#   	$(CC) $(PICOTRAIN_FLAGS) $^ -o $@
#
# Before the include: PICOTRAIN_KERNELS, cortex-m0plus or portable (the default), and PICOTRAIN_FORMS,
# both (the default), chain or affine: the networks that it knows (nn/pt_forms.h).
PICOTRAIN := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
ifeq ($(wildcard $(PICOTRAIN)/picotrain.h),)
$(error No picotrain.h in $(PICOTRAIN): name library.mk by a path without spaces, as ../picotrain/firmware/library.mk)
endif
PICOTRAIN_KERNELS ?= portable
PICOTRAIN_SOURCES := $(wildcard $(PICOTRAIN)/nn/*.c $(PICOTRAIN)/nn/operators/*.c \
    $(PICOTRAIN)/kernels/*.c)
ifeq ($(PICOTRAIN_KERNELS),cortex-m0plus)
PICOTRAIN_SOURCES += $(wildcard $(PICOTRAIN)/kernels/cortex_m0plus/*.[cS])
else ifeq ($(PICOTRAIN_KERNELS),portable)
PICOTRAIN_SOURCES += $(wildcard $(PICOTRAIN)/kernels/portable/*.c)
else
$(error PICOTRAIN_KERNELS is $(PICOTRAIN_KERNELS); use cortex-m0plus or portable)
endif
PICOTRAIN_FORMS ?= both
ifeq ($(filter both chain affine,$(PICOTRAIN_FORMS)),)
$(error PICOTRAIN_FORMS is $(PICOTRAIN_FORMS); use both, chain or affine)
endif
PICOTRAIN_FLAGS := -std=c11 -O2 -ffreestanding -I$(PICOTRAIN) \
    $(if $(filter chain,$(PICOTRAIN_FORMS)),-DPT_WITH_AFFINE=0) \
    $(if $(filter affine,$(PICOTRAIN_FORMS)),-DPT_WITH_CHAIN=0)
