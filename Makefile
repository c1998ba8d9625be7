# picotrain: `make run` and `make test` set up everything they need on a fresh Debian or Ubuntu.

PYTHON ?= python3
CC ?= cc
TARGETS ?= host host-tuned
SUDO ?= $(if $(filter 0,$(shell id -u)),,sudo)

VENV := .venv
BIN := $(VENV)/bin
PLUGIN := build/qemu/cycles.so
READY := build/.tools $(VENV)/.ready

# What is not Python, and the Debian package that holds it.
TOOLS := arm-none-eabi-gcc:gcc-arm-none-eabi qemu-system-arm:qemu-system-arm $(CC):gcc

.DEFAULT_GOAL := help
.PHONY: help setup firmware run test lint ci verify profile bench report backbones clean

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(READY) firmware ## Tools, .venv with the picotrain command, firmware, cycle plugin

build/.tools:
	@mkdir -p build
	@missing=; for tool in $(TOOLS); do \
	    command -v $${tool%%:*} >/dev/null || missing="$$missing $${tool##*:}"; \
	done; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || missing="$$missing python3-venv"; \
	if [ -n "$$missing" ]; then \
	    if ! command -v apt-get >/dev/null; then \
	        echo "missing:$$missing (Debian's names); install them, then run make again" >&2; exit 1; \
	    fi; \
	    echo "installing$$missing"; \
	    $(SUDO) apt-get update -q && \
	    DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -q --no-install-recommends $$missing; \
	fi
	@touch $@

$(VENV)/.ready: pyproject.toml | build/.tools
	@echo "preparing $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --progress-bar off --disable-pip-version-check -e '.[dev]'
	@touch $@

firmware: $(PLUGIN) build/.tools ## The firmware for every board, and QEMU's cycle plugin
	@$(MAKE) --no-print-directory -C firmware host host-tuned microbit microbit-portable microbit-dense

.PHONY: sanitized
sanitized: build/.tools
	@$(MAKE) --no-print-directory -C firmware host-sanitized host-tuned-sanitized

$(PLUGIN): $(wildcard emulation/qemu/*.[ch]) | build/.tools
	@mkdir -p $(@D)
	@echo "  CC   $@"
	@$(CC) -std=c11 -O2 -shared -fPIC -Wall -Wextra -Werror -o $@ $(filter %.c,$^)

run: setup ## The main job on the embedded digits, on QEMU
	@$(BIN)/picotrain adapt --target qemu --dataset digits --angle 30 --method priot --epochs 5

test: setup sanitized lint ## All tests; TARGETS="host qemu" runs the device suites on both
	@$(BIN)/pytest $(TARGETS:%=--target %)

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

verify: setup ## Every method on host and qemu against golden, tensor by tensor
	@for target in host qemu; do for seed in 1 2; do \
	    $(BIN)/picotrain verify --target $$target --method all --steps 100 --seed $$seed || exit 1; \
	    $(BIN)/picotrain verify --target $$target --model models/oddnet.toml --method all \
	        --steps 100 --seed $$seed || exit 1; \
	done; done

profile: setup ## Cycles and memory, against the committed baselines
	@for method in priot niti-static priot-s; do \
	    $(BIN)/picotrain profile --target qemu --dataset digits --angle 180 --images 16 \
	        --method $$method --baseline tests/baselines/cycles-$$method.json || exit 1; \
	done
	@$(BIN)/picotrain memory --budget tests/baselines/memory.json

bench: setup ## Cycles of every kernel alone: portable, tuned, and tuned on the worst input
	@$(BIN)/picotrain bench --json build/bench.json

report: setup ## build/report/report.html: an adaptation and where its cycles and bytes go
	@$(BIN)/picotrain adapt --target qemu --dataset digits --angle 30 --method priot --epochs 5 \
	    --json build/report/adapt.json
	@$(BIN)/picotrain profile --target qemu --dataset digits --angle 30 --method priot \
	    --run build/report/adapt.json --html build/report/report.html >build/report/profile.txt
	@echo build/report/report.html

backbones: setup ## Makes models/backbones again: the same weights
	@$(BIN)/picotrain pretrain --model tinycnn --dataset digits --epochs 10 --mu 3,3,2,2,1 \
	    --out models/backbones/tinycnn-digits.npz
	@$(BIN)/picotrain pretrain --model tinycnn --dataset mnist \
	    --out models/backbones/tinycnn-mnist.npz

ci: ## What CI runs
	@bash .ci/run

clean: ## Removes build and .venv
	@rm -rf build $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
