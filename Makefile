# `make demo` and `make test` set themselves up in .venv, once; all they need is Python 3.11 or later and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo test test-wheel check types pretrain-default bundle-default clean

demo: $(READY)
	$(BIN)/python examples/demo.py demo

# One thread a test process: two processes share the cores better than two libraries do.
# glibc keeps freed memory for the next array; returning it and asking again took a fifth of the time of numeric tests.
# The processes that tests start do without (tests/conftest.py), so that peaks of memory are those of users.
test: $(READY)
	OMP_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=268435456 MALLOC_TRIM_THRESHOLD_=1073741824 \
	  $(BIN)/python -m pytest -n auto --dist worksteal

# The same tests on an installed wheel, from another folder.
test-wheel:
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/pip install --quiet build
	.venv-wheel/bin/python -m build --wheel --outdir dist .
	.venv-wheel/bin/pip install --quiet -c constraints.txt "$$(ls -t dist/*.whl | head -1)[dev]"
	cd / && OMP_NUM_THREADS=1 "$(CURDIR)/.venv-wheel/bin/python" -m pytest -n auto \
	  -c "$(CURDIR)/pyproject.toml" --rootdir "$(CURDIR)" "$(CURDIR)/tests"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) types

types: $(READY)
	# mypy follows imports by folder names, so it reads an installed copy, where they are the package's.
	$(BIN)/pip install --quiet --no-deps --upgrade --target build/installed .
	cd build && MYPYPATH=installed ../$(BIN)/mypy --config-file ../pyproject.toml

# Trains prima-synth on synthetic brains: one or two hours with a GPU and 16 cores, most of it for generating the 13,500
# studies and for the evaluation; about 15 hours on two cores without a GPU; then half an hour for the heads,
# whose studies one process generates. The same command resumes after an interruption.
# PROCESSES: number of GPUs, if any. REAL: a folder with scans of people, whose sequence types are predicted as well.
SYNTH := runs/prima-synth
PROCESSES ?= 2

pretrain-default: $(READY)
	mkdir -p $(SYNTH)
	cp recipes/prima_synth/configs/*.toml $(SYNTH)
	for stage in tokenizer/tokenizer clip/content clip/clip clip/fresh clip/pairs clip/finish clip/findings \
	    clip/more clip/others; do \
	  OMP_NUM_THREADS=1 $(BIN)/torchrun --nproc-per-node $(PROCESSES) recipes/prima_synth/train.py \
	    $${stage%/*} $(SYNTH)/$${stage#*/}.toml || exit; \
	done
	$(BIN)/python recipes/prima_synth/evaluate.py --model $(SYNTH)/others --work $(SYNTH)/evaluation --pairs 50 \
	  $(if $(REAL),--real $(REAL)) --json > $(SYNTH)/results.json
	for cohort in 106:400 107:100; do \
	  OMP_NUM_THREADS=1 $(BIN)/python recipes/prima_synth/cohort.py $(SYNTH)/cohort --model $(SYNTH)/others \
	    --seed $${cohort%:*} --studies $${cohort#*:} || exit; \
	done
	OMP_NUM_THREADS=1 $(BIN)/prima pretrain heads $(SYNTH)/heads.toml
	$(BIN)/prima diagnose $(SYNTH)/cohort/107.h5 $(SYNTH)/scores.tsv --model $(SYNTH)/heads
	$(BIN)/prima audit $(SYNTH)/scores.tsv $(SYNTH)/audit --labels $(SYNTH)/cohort/107.tsv --min-positives 3
	$(BIN)/python recipes/prima_synth/heads_table.py $(SYNTH)/scores.tsv $(SYNTH)/cohort/107.tsv $(SYNTH)/audit

# Copies the trained model into the package, with its card from model_cards.
BUNDLED := prima_features/models/bundled/prima-synth

bundle-default: $(READY)
	mkdir -p $(BUNDLED)
	cp $(addprefix $(SYNTH)/heads/,config.json model.safetensors text.safetensors heads.safetensors tokenizer.json SHA256SUMS) $(BUNDLED)
	cp model_cards/prima-synth.md $(BUNDLED)/README.md
	$(BIN)/prima weights verify $(BUNDLED)
	$(BIN)/prima doctor --model $(BUNDLED) --record-answer

$(READY): setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf .venv .venv-wheel build dist demo *.egg-info
