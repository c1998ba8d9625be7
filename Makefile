# picotrain: `make run` and `make test` set up everything they need on a fresh Debian or Ubuntu.

PYTHON ?= python3
CC ?= cc
TARGETS ?= host host-tuned
# Files of tests at a time: their devices share nothing. 0 runs them one after another, here and in
# the campaigns that have it too.
JOBS_OF_TESTS ?= $(shell nproc 2>/dev/null || echo 1)
SUDO ?= $(if $(filter 0,$(shell id -u)),,sudo)

VENV := .venv
BIN := $(VENV)/bin
READY := build/.tools $(VENV)/.ready
RP2040JS := build/rp2040js/.ready

# What is not Python, and the Debian package that holds it.
TOOLS := arm-none-eabi-gcc:gcc-arm-none-eabi qemu-system-arm:qemu-system-arm $(CC):gcc

.DEFAULT_GOAL := help
.PHONY: help setup setup-renode firmware run test lint ci verify profile bench figures report robot \
        link-test uf2 hw-flash hw-test hw-probe-test backbones \
        backbones-few backbones-speech backbone-vgg11 reproduce clean

help: ## This list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(READY) firmware $(RP2040JS) ## Tools, .venv with the picotrain command, firmware, emulators

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
	@$(BIN)/pip install --progress-bar off --disable-pip-version-check -e '.[dev,dask,parquet,convert]'
	@touch $@

# Without Node it says so, and what needs it is skipped.
$(RP2040JS): emulation/rp2040js/package.json $(VENV)/.ready
	@$(BIN)/python -m picotrain.device.targets.node_package
	@mkdir -p $(@D)
	@touch $@

setup-renode: $(READY) ## Downloads Renode into build/renode, if it is not installed
	@$(BIN)/python -m picotrain.device.targets.renode_release

firmware: build/.tools ## The firmware for every board, and QEMU's cycle plugin
	@$(MAKE) -s --no-print-directory -C firmware host host-tuned host-cores microbit microbit-portable \
	    microbit-dense microbit-large microbit-chain microbit-affine rp2040 rp2040-cores \
	    rp2040-chain rp2040-affine standalone
	@$(MAKE) -s --no-print-directory -C emulation/rom BUILD=../../build
	@$(MAKE) -s --no-print-directory -C emulation/qemu BUILD=../../build
	@$(MAKE) -s --no-print-directory -C emulation/renode BUILD=../../build

.PHONY: sanitized
sanitized: build/.tools
	@$(MAKE) -s --no-print-directory -C firmware host-sanitized host-tuned-sanitized host-cores-threads

.PHONY: cores
cores: setup sanitized ## Two cores on this machine: 20,000 random cuts and delays under the thread sanitizer
	@PICOTRAIN_SPLITS=20000 $(BIN)/pytest -q tests/device/test_cores.py

.PHONY: cores-figures
cores-figures: setup ## What the second core gains, on rp2040js, NETWORKS too: experiments/results/cores.json
	@$(BIN)/python -m picotrain.profile.cores $(NETWORKS)

# The second is what Debian keeps apart from clang: the sanitizers themselves.
.PHONY: clang-sanitized
clang-sanitized: setup ## The firmware under clang's sanitizers, which see more; wants clang, libclang-rt-14-dev
	@$(MAKE) -s --no-print-directory -C firmware BUILD=../build/clang CC=clang \
	    host-sanitized host-tuned-sanitized
	@PICOTRAIN_SANITIZED=build/clang $(BIN)/pytest -q -n $(JOBS_OF_TESTS) --dist loadfile \
	    tests/device/test_sanitized.py tests/device/test_blob_fuzz.py tests/device/test_lean.py

run: setup ## The main job on the embedded digits, on QEMU
	@$(BIN)/picotrain adapt --target qemu --dataset digits --angle 30 --method priot --epochs 5

test: setup sanitized lint ## All tests; TARGETS="host qemu" runs the device suites on both
	@$(BIN)/pytest -n $(JOBS_OF_TESTS) --dist loadfile $(TARGETS:%=--picotrain-target %)

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

verify: setup ## Every method on host and qemu against golden, tensor by tensor
	@for target in host qemu; do for seed in 1 2; do \
	    $(BIN)/picotrain verify --target $$target --method all --steps 100 --seed $$seed || exit 1; \
	    $(BIN)/picotrain verify --target $$target --model models/oddnet.toml --method all \
	        --steps 100 --seed $$seed || exit 1; \
	done; for exponent in -4 -8; do \
	    $(BIN)/picotrain verify --target $$target --method all --steps 20 \
	        --logits-exponent $$exponent || exit 1; \
	done; done

profile: setup ## Cycles and memory, against the committed baselines
	@for method in priot niti-static priot-s; do \
	    $(BIN)/picotrain profile --target qemu --dataset digits --angle 180 --images 16 \
	        --method $$method --baseline tests/baselines/cycles-$$method.json || exit 1; \
	done
	@$(BIN)/picotrain profile --target qemu --dataset digits --angle 180 --images 16 \
	    --method priot --fused --baseline tests/baselines/cycles-priot-fused.json
	@$(BIN)/picotrain memory --budget tests/baselines/memory.json
	@for board in rp2040 microbit-chain; do \
	    $(BIN)/picotrain memory --board $$board --budget tests/baselines/memory-$$board.json || exit 1; \
	done

robot: setup ## The Robot suites; TARGETS="qemu rp2040js renode serial:PORT" runs them on each
	@for target in $(if $(filter-out file,$(origin TARGETS)),$(TARGETS),qemu rp2040js); do \
	    folder=build/robot/$$(echo $$target | tr -c 'a-zA-Z0-9\n' -); \
	    $(BIN)/robot -v TARGET:$$target --outputdir $$folder --xunit xunit.xml tests/robot || exit 1; \
	done

link-test: setup ## A million damaged frames on the serial link
	@$(BIN)/python -m picotrain.hardware.campaign --frames 1000000 --seed 1 --json build/link-test.json

uf2: setup ## build/rp2040/picotrain.uf2, to drag onto the Pico's drive
	@$(BIN)/picotrain uf2

# HW_OPTIONS: what `picotrain hw-test --help` lists.
PORT ?= auto

hw-flash: uf2 ## Flashes the Pico at PORT (default: the one that is plugged in)
	@$(BIN)/picotrain flash --port "$(or $(PORT),auto)"

hw-test: uf2 ## Flashes and tests the Pico at PORT; a report in build/hw-test
	@$(BIN)/picotrain hw-test --port "$(or $(PORT),auto)" --report build/hw-test $(HW_OPTIONS)

hw-probe-test: uf2 ## The same, flashing through a debug probe (pyOCD)
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[probe]'
	@$(BIN)/picotrain hw-test --probe --port "$(or $(PORT),auto)" --report build/hw-test $(HW_OPTIONS)

bench: setup ## Cycles of every kernel alone: portable, tuned, and tuned on the worst input
	@$(BIN)/picotrain bench --json build/bench.json

cost-model: setup ## What each term of `picotrain fit` costs, fitted to drawn networks on QEMU
	@$(BIN)/python -m picotrain.profile.fit.fitting.fitted

fit-check: setup ## Predicted against measured cycles: experiments/results/fit.json, docs/fit.md
	@$(BIN)/python -m picotrain.profile.fit.fitting.check

figures: setup ## Measures what the pages quote and no sweep makes: docs/figures.json
	@$(BIN)/python -m picotrain.research.figures

report: setup ## build/report/report.html: an adaptation and where its cycles and bytes go
	@$(BIN)/picotrain adapt --target qemu --dataset digits --angle 30 --method priot --epochs 5 \
	    --json build/report/adapt.json
	@$(BIN)/picotrain profile --run build/report/adapt.json --html build/report/report.html \
	    >build/report/profile.txt
	@echo build/report/report.html

CHROMIUM ?= chromium
.PHONY: report-picture
report-picture: report ## docs/figures/report.png, the README's picture of that page; wants chromium
	@$(CHROMIUM) --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1100,1104 \
	    --screenshot=docs/figures/report.png build/report/report.html 2>/dev/null
	@echo docs/figures/report.png

backbones: setup ## Trains the shipped networks anew, into models/backbones
	@$(BIN)/picotrain pretrain --model tinycnn --dataset digits --epochs 10 --mu 3,3,2,2,1 \
	    --logits-exponent -3 --out models/backbones/tinycnn-digits.npz
	@$(BIN)/picotrain pretrain --model tinycnn --dataset mnist --logits-exponent -3 \
	    --out models/backbones/tinycnn-mnist.npz

backbones-few: setup ## Those for tasks of few samples, in float: PyTorch, an hour on one core
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[train]'
	@$(BIN)/picotrain metatrain --model mobilenet-v2-few \
	    --pretrained models/backbones/mobilenet-v2-few-pre.npz \
	    --out models/backbones/mobilenet-v2-few-meta.npz
	@$(BIN)/picotrain metatrain --model proxyless-few \
	    --pretrained models/backbones/proxyless-few-pre.npz \
	    --out models/backbones/proxyless-few-meta.npz

SPEAKERS := george jackson lucas nicolas theo yweweler

backbones-speech: setup ## Networks that know five speakers of the spoken digits, in build/backbones
	@for speaker in $(SPEAKERS); do \
	    $(BIN)/picotrain pretrain --dataset fsdd-$$speaker --epochs 20 --mu 3,2,1,0 \
	        --ram-kib 65536 --calibration-angle 45 \
	        --out build/backbones/tinycnn-fsdd-$$speaker.npz || exit 1; \
	done

backbone-vgg11: setup ## VGG11 for CIFAR-10, in float: PyTorch, half an hour on two cores
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[train]'
	@$(BIN)/picotrain pretrain --model vgg11 --dataset cifar10 --arithmetic float \
	    --ram-kib 65536 --calibration-samples 512 --out build/backbones/vgg11-cifar10.npz

reproduce: setup ## The experiments and docs/results.md; FAST=1: small; JOBS=n processes
	@$(BIN)/picotrain reproduce $(if $(FAST),--fast) $(if $(JOBS),--jobs $(JOBS))

.PHONY: graphs
graphs: setup ## Every training graph, 20 steps, two seeds, on TARGETS="qemu": what tests leave out there
	@PICOTRAIN_GRAPHS=all $(BIN)/pytest -q -n $(JOBS_OF_TESTS) --dist load tests/device/test_affine_training.py \
	    -k "named_networks or random_graphs" \
	    $(addprefix --picotrain-target ,$(if $(filter-out file,$(origin TARGETS)),$(TARGETS),qemu))

.PHONY: deaths
deaths: setup ## Devices that die in every way, told apart; runs over twenty deaths; docs/reliability.md
	@cd tests && ../$(BIN)/python -m reliability.deaths

.PHONY: power-cuts
power-cuts: setup ## States in flash: ten times as many saves, cut at every step, and cut again
	@PICOTRAIN_POWER_CUTS=10 $(BIN)/pytest -q -s -n $(JOBS_OF_TESTS) --dist load \
	    tests/device/library/test_store.py

.PHONY: mutants
mutants: setup ## Faults in copies, each found by a suite; SAMPLE=20, FILE=firmware/a.c from the root, NEW=1
	@cd tests && ../$(BIN)/python -m mutants.running $(if $(SAMPLE),--sample $(SAMPLE)) \
	    $(if $(SEED),--seed $(SEED)) $(FILE:%=--file %) $(if $(NEW),--new) --jobs $(JOBS_OF_TESTS)

.PHONY: selftest
selftest: setup ## Known faults planted on TARGETS="host qemu rp2040js", each named; docs/reliability.md
	@cd tests && ../$(BIN)/python -m reliability.selftest \
	    $(if $(filter-out file,$(origin TARGETS)),$(TARGETS),host qemu rp2040js)

.PHONY: exactness
exactness: setup ## Portable kernels on other machines, gcc and clang, -O0 to -O3, in qemu-user; SHORT=1
	@cd tests && ../$(BIN)/python -m reliability.exactness $(if $(SHORT),--short) \
	    --jobs $(JOBS_OF_TESTS)

.PHONY: plugin-speed
plugin-speed: setup ## What counting cycles costs on QEMU, beside the bare one; ROUNDS=3, EPOCHS=10
	@PYTHONPATH=tests $(BIN)/python -m performance.plugin_speed $(if $(ROUNDS),--rounds $(ROUNDS)) \
	    $(if $(EPOCHS),--epochs $(EPOCHS))

.PHONY: performance performance-page
performance: setup ## Ours beside CMSIS-NN's, AIfES' and float C: docs/performance.md; NETWORKS="vww.npz kws.npz"
	@PYTHONPATH=tests $(BIN)/python -m performance.yardsticks $(NETWORKS)

.PHONY: one-form-figures
one-form-figures: setup ## What firmware of one form takes and costs: experiments/results/one-form.json, for docs/kernels.md
	@PYTHONPATH=tests $(BIN)/python -m performance.one_form

performance-page: setup ## That page, from what make performance and its like left in experiments/results
	@PYTHONPATH=tests $(BIN)/python -m performance.beside

.PHONY: host-speed
host-speed: setup ## The host firmware beside naive C, and AGAINST=an older picotrain-host, NETWORK=vgg11.npz
	@PYTHONPATH=tests $(BIN)/python -m host_speed.measuring $(if $(AGAINST),--against "$(AGAINST)") \
	    $(if $(NETWORK),--network "$(NETWORK)") $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: soak
soak: setup ## 10,000 commands on TARGETS="host qemu", MINUTES=n at least: no leak, no drift
	@cd tests && ../$(BIN)/python -m reliability.stress $(if $(MINUTES),--minutes $(MINUTES)) \
	    $(if $(filter-out file,$(origin TARGETS)),$(TARGETS),host qemu)

.PHONY: flips
flips: setup ## 3,000 flipped bits on host and qemu, and what came of each; SHARE=0.1; docs/reliability.md
	@cd tests && ../$(BIN)/python -m flips.flipping $(if $(SHARE),--share $(SHARE)) \
	    $(if $(SEED),--seed $(SEED))

.PHONY: reliability
reliability: setup ## docs/reliability.md, from what make mutants and its like left in experiments/results
	@cd tests && ../$(BIN)/python -m reliability.page

.PHONY: power-cuts-chip
power-cuts-chip: setup ## The standalone application on rp2040js: 1,000 saves, each cut and torn
	@PICOTRAIN_CHIP_CUTS=1000 $(BIN)/pytest -q -s tests/emulation/standalone/test_power_cuts_chip.py

MINUTES ?= 1
.PHONY: fuzz fuzz-corpora
fuzz: setup ## Blobs, mailbox, link and imported models for MINUTES=1; KEEP=1: into the page; wants clang
	@cd tests && ../$(BIN)/python -m fuzz.fuzzing --minutes $(MINUTES) --jobs $(JOBS_OF_TESTS) \
	    $(FUZZ:%=--target %) $(if $(SEED),--seed $(SEED)) $(if $(KEEP),--keep)

fuzz-corpora: setup ## tests/fuzz/corpus anew, from that, seeds, and what make fuzz has found here
	@cd tests && ../$(BIN)/python -m fuzz.corpora

.PHONY: coverage
coverage: setup ## Of parser, mailbox, link and kernels, by suites and corpora; KEEP=1; wants clang and llvm
	@cd tests && ../$(BIN)/python -m fuzz.coverage $(if $(KEEP),--keep)

.PHONY: damaged-models
damaged-models: setup ## 20,000 damaged .tflite and .onnx files each: taken, or refused in a sentence
	@PICOTRAIN_MUTATIONS=20000 $(BIN)/pytest -q tests/unit/convert -k damaged_files

.PHONY: arduino
arduino: $(READY) ## build/picotrain-arduino.zip, the library for Arduino
	@$(MAKE) -s --no-print-directory -C firmware host
	@$(BIN)/python -m picotrain.convert.export.arduino

.PHONY: wheel package-test
wheel: $(READY) ## build/dist/picotrain-*.whl, by way of the source distribution
	@rm -rf build/dist
	@echo "building the source distribution, and the wheel of it, with every board's firmware:" \
	    "about a minute where nothing else runs; build/wheel.log"
	@$(BIN)/python -m build -o build/dist >build/wheel.log 2>&1 || { cat build/wheel.log; exit 1; }
	@ls build/dist/*.whl

package-test: wheel $(RP2040JS) ## That wheel in a fresh .venv, every verb from a folder that is no checkout
	@$(BIN)/python tests/package/check.py build/dist/*.whl

ci: ## What CI runs
	@bash .ci/run

clean: ## Removes build and .venv
	@rm -rf build picotrain-results $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
