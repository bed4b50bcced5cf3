# `make demo` and `make test` do all their own set-up: they need Python >= 3.11, make and git, and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BUILD_INPUTS := pyproject.toml constraints.txt CMakeLists.txt $(wildcard src/ostinato/kernels/csrc/*)
DEMO := runs/demo

.PHONY: arm cross docs axe base demo demo-begins tests test check format lint types imports bench soak test-browser fuzz $(FUZZ) wheel sanitize sanitized wasm clean help

help:
	@echo "make demo    install into $(VENV), train on the bundled lyrics for two minutes, then write new ones"
	@echo "make test    the tests"
	@echo "make check   format, lint, types, import rules, tests, sanitizers, ARM64"
	@echo "make base    the bundled base models again, from the texts in TEXTS (hours)"
	@echo "make test-browser   the pages in a real Chromium, and what axe-core finds wrong with them"
	@echo "make docs    the documentation as a site in build/site: both languages, searchable, links checked"
	@echo "make bench   side by side with other libraries"
	@echo "make sanitize   the C++ kernels' tests under sanitizers"
	@echo "make arm     the kernels for ARM64, cross-compiled, and their tests under qemu (skipped where its tools are absent)"
	@echo "make cross   the kernels for Windows, macOS and musl, cross-compiled by Zig: whether they build, and what they export"
	@echo "make wasm       the exported page's kernels, built again and compared with those that are shipped (clang 14, lld)"
	@echo "make faults  every file operation of whole commands fails, or is the last one"
	@echo "make soak    ten minutes each of processes that train, save, load and overwrite in one folder"
	@echo "make fuzz    a minute each of spoilt models, texts, recipes, archives and arrays"

demo: demo-begins $(VENV)/.train
	$(BIN)/ostinato train lyrics-zh -o $(DEMO) --minutes 2 --overwrite
	@echo && echo '$$ $(BIN)/ostinato write $(DEMO) 分开 --lines 8 --count 2 --seed 7' && echo
	@$(BIN)/ostinato write $(DEMO) 分开 --lines 8 --count 2 --seed 7
	@echo && echo 'Now yours. Type:' && echo
	@echo '    $(BIN)/ostinato write $(DEMO) 分开 --lines 8          # more from this model'
	@echo '    $(BIN)/ostinato train YOUR-TEXT.txt -o my-model       # a model of your own text, in three minutes'

demo-begins:
	@echo 'make demo installs ostinato into $(VENV) (the first time: about 1.2 GB, one to five minutes),'
	@echo 'trains on the bundled lyrics for two minutes, and writes new ones. Ctrl-C stops it; `make clean` removes everything.'
	@echo

test: tests

# The sanitizers and ARM64 take the core that the tests leave idle; what they print follows.
check: format lint types imports axe
	@mkdir -p build; nice -n 10 $(MAKE) sanitize arm > build/native.log 2>&1 & native=$$!; trap "kill $$native 2> /dev/null" EXIT; \
	$(MAKE) tests; tests=$$?; wait $$native; native=$$?; cat build/native.log; test $$tests = 0 && test $$native = 0

format: $(VENV)/.dev
	$(BIN)/ruff format --check .

lint: $(VENV)/.dev
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo 'The documentation is in build/site. To read and search it: $(BIN)/python -m http.server -d build/site'

tests: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# The studio's page and the exported one in a real Chromium. `make test` runs these tests, too, where Chromium is installed;
# axe-core, which looks for faults of accessibility, is fetched here and by `make check`, where npm is.
AXE := build/axe/package/axe.min.js
AXE_VERSION := 4.14.1
axe:
	@test -f $(AXE) || { mkdir -p build/axe && cd build/axe && npm pack --silent axe-core@$(AXE_VERSION) >/dev/null 2>&1 \
	  && tar -xf axe-core-$(AXE_VERSION).tgz; } || echo "axe-core is not fetched (it needs npm): accessibility is not looked at"

test-browser: axe $(VENV)/.dev
	$(BIN)/python -m pytest -rs tests/studio/test_page.py tests/export/test_html.py

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

# Every file operation of whole commands fails (no space, an error of the disk, no permission; once, or from then on), and
# they are killed at many: hours. FAULTS="--every 61 --kills 6 train resume" tries some of the cases, in minutes.
.PHONY: faults
faults: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python tests/faults $(FAULTS)

# Processes that save, load, count n-grams and overwrite in one folder, then four that train, resume, overwrite and load
# networks in one, where some are killed: ten minutes of each, or MINUTES=1 make soak.
MINUTES ?= 10
soak: soak-folders soak-networks
soak-%: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python tests/soak_$*.py $(MINUTES)

# The bundled bases again, into runs/: hours. TEXTS is the folder with the texts that docs/base.md names; where it was
# stopped, the same command goes on. base-zh is made in two parts: old prose and verse first, then these with modern lyrics.
TEXTS ?= texts
going-on = $(if $(wildcard $(1)-run/checkpoint),--resume)
base: runs/base-en/config.json runs/base-zh/config.json

runs/base-en/config.json: | $(VENV)/.train
	$(BIN)/ostinato base $(TEXTS)/verse-en.txt $(TEXTS)/prose-en.txt --terms 'public domain in the USA' --terms 'public domain' \
	  --unseen lyrics-en -o runs/base-en $(call going-on,runs/base-en)

runs/zh/config.json: | $(VENV)/.train
	$(BIN)/ostinato base $(TEXTS)/novels-zh.txt $(TEXTS)/tang300.txt $(TEXTS)/songci300.txt --terms 'public domain' \
	  --terms 'public domain' --terms 'public domain' --unseen lyrics-zh --set model.dropout=0.15 -o runs/zh $(call going-on,runs/zh)

runs/base-zh/config.json: runs/zh/config.json
	$(BIN)/ostinato base $(TEXTS)/novels-zh.txt $(TEXTS)/tang300.txt $(TEXTS)/songci300.txt lyrics-zh --from runs/zh \
	  --times 0.3 --times 1 --times 2 --times 8 --training-part lyrics-zh --spare 20000 --terms 'public domain' \
	  --terms 'public domain' --terms 'public domain' --terms 'CC0 1.0, of this project' \
	  --set 'text.documents=^# |^第.{1,8}回|^[^，。:]{1,20}:' --set text.heldout=0 --set model.dropout=0.3 \
	  --set training.learning_rate=0.003 --epochs 0.75 --seed 2 -o runs/base-zh $(call going-on,runs/base-zh)

# Spoilt bundles, tensors, tokenizers, recipes, forms, records, ARPA files, zips, encodings and arrays: so many seconds of
# the processor for each, as in `SECONDS=600 make fuzz`. Whatever reaches the kernels runs under the sanitizers.
# FUZZ_TARGETS="bundle zip" tries those alone; FUZZ_SEED=2 tries others. What is found lies in build/fuzz. `make -k` goes on
# after a finding.
FUZZ_SECONDS ?= $(or $(SECONDS),60)
FUZZ_TARGETS ?= tensors tokenizer recipe form records arpa zip encodings bundle arrays
FUZZ := $(addprefix fuzz-,$(FUZZ_TARGETS))
fuzz: $(FUZZ)
$(FUZZ): fuzz-%: $(VENV)/.dev
	$(RUN) $(BIN)/python tests/fuzz $(FUZZ_SECONDS) $*
$(FUZZ): RUN = OMP_NUM_THREADS=1
fuzz-arpa fuzz-bundle fuzz-arrays: sanitized
fuzz-arpa fuzz-bundle fuzz-arrays: RUN = $(SANITIZED_BY)

wheel: $(VENV)/.dev
	$(BIN)/pip wheel -q --no-deps -w dist .

# The kernels (decoding, n-grams, training) under AddressSanitizer and UndefinedBehaviourSanitizer, with valid and invalid arrays.
# EXAMPLES=20000 tries that many invalid calls per property (default: 200).
SANITIZED := tests/kernels tests/runtime tests/mixing tests/ngram/test_ngram_model.py
EXAMPLES ?= 200
SANITIZED_BY = OSTINATO_LIBRARY=build/sanitize/libostinato.so OMP_NUM_THREADS=1 \
  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1 \
  LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so)"
sanitized: $(VENV)/.dev
	cmake -S . -B build/sanitize -DOSTINATO_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo
	cmake --build build/sanitize --parallel
sanitize: sanitized
	$(SANITIZED_BY) OSTINATO_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest $(SANITIZED)

# The ARM64 library and its tests under qemu-user; what the tools are: tests/on_arm.sh.
arm: $(VENV)/.dev
	PYTHON=$(BIN)/python tests/on_arm.sh

# The kernels for other systems, built and not run: tests/cross.sh. It needs Zig: pip install ziglang. TARGETS="aarch64-macos" picks.
cross: | $(BIN)/python
	PYTHON=$(BIN)/python tests/cross.sh $(TARGETS)

# The kernels of `ostinato export --to html`. Another clang may give other bytes: put build/kernels.wasm in place and test it.
PAGE := src/ostinato/export/files
CLANG ?= clang
wasm:
	@mkdir -p build
	$(CLANG) --target=wasm32 -msimd128 -O3 -nostdlib -ffreestanding -Wl,--no-entry -Wl,--import-memory -Wl,--strip-all \
	  -Wl,-z,stack-size=16384 -o build/kernels.wasm $(PAGE)/kernels.c
	cmp build/kernels.wasm $(PAGE)/kernels.wasm

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "ostinato needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: $(BUILD_INPUTS) | $(BIN)/python
	$(BIN)/pip install --disable-pip-version-check -c constraints.txt -e '.[train,form]'
	@touch $@

$(VENV)/.dev: $(BUILD_INPUTS) | $(BIN)/python
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.train

clean:
	rm -rf $(VENV) build dist runs .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
