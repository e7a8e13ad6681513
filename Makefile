# firstlight: `make run` does the main job, `make test` proves that it is done right.
# Everything happens in .venv; nothing outside this folder but the data cache is touched.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
OUT    ?= runs/quick
BUDGET ?= 60
SEED   ?= 0
# Four processes on two cores: a third of the time of the tests is waiting for brokers and children.
TEST_JOBS ?= 4
# One math thread per process: two pools on two cores are many times slower than one.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.DEFAULT_GOAL := help
.PHONY: help setup run test check docs dist fuzz speed bench bench-check bench-stream bench-peers crossval-seed crossval-default crossval-fast reproduce bundle figures stream-demo clean

help: ## Show what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## Create .venv with the pinned dependencies

# torch goes in first and alone, so that no other requirement can pull another build of it
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "firstlight needs Python 3.11 or newer; try make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable '.[train,nested,batch,stream,serve,dev]'
	$(BIN)/python -c 'import firstlight; firstlight.Pipeline.load("default")'
	touch $@

run: setup ## Fetch PLAsTiCC, train the quick preset, score it on unseen objects, write the report
	$(BIN)/firstlight fetch plasticc
	$(BIN)/firstlight holdout --preset quick --out $(OUT)
	@echo "Open $(OUT)/report.html"

stream-demo: setup ## A real broker, a replay, a worker: answers live in the terminal; PAGE=1 opens the live page
	$(BIN)/firstlight fetch plasticc
	$(BIN)/firstlight demo --seconds 60 --rate 100 --packet-kb 30 --results runs/demo/classes.jsonl $(if $(PAGE),--page) $(if $(wildcard $(OUT)/bundle),--bundle $(OUT)/bundle)

test: check ## Lint, types, import contracts and all tests
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder

check: setup
	$(BIN)/ruff format --check src tests benchmarks studies docs release
	$(BIN)/ruff check src tests benchmarks studies docs release
	$(BIN)/mypy
	MYPYPATH=src:benchmarks:benchmarks/peers:docs:release $(BIN)/mypy --config-file mypy-scripts.ini benchmarks release docs
	MYPYPATH=src:. $(BIN)/mypy --config-file mypy-scripts.ini studies
	$(BIN)/lint-imports

docs: setup ## Run the tutorials and build the documentation into site/, strictly; it opens from the folder
	$(BIN)/python docs/build.py

dist: setup ## Build wheel and sdist, install each in a new environment and classify with it; recipe for conda-forge
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build==1.6.1 twine==7.0.0
	$(BIN)/python release/dist.py

bench: setup ## Speed of each stage, now and at the last tag (or AGAINST=COMMIT), and of peers -> benchmarks/results/*.json
	$(BIN)/python benchmarks/stages.py $(if $(AGAINST),--against $(AGAINST))
	for script in preprocessing features encoder classifiers classify; do $(BIN)/python benchmarks/$$script.py || exit 1; done

bench-check: setup ## Fail if a bundle is more than a tenth slower per object than at the last tag (or AGAINST=COMMIT)
	$(BIN)/python benchmarks/stages.py --check $(if $(AGAINST),--against $(AGAINST))

fuzz: setup ## Mutated alerts, bundles, containers, light curves, schemas and states, for BUDGET seconds
	$(BIN)/python -m tests.fuzz --seconds $(BUDGET) --seed $(SEED)

speed: setup ## Speed of decoding, updating and classifying against references, in 20 seconds
	$(BIN)/python benchmarks/speed_set.py

bench-stream: setup ## Alerts per second, latency, bursts and memory over a real broker (about 40 minutes)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check lmdb==3.0.0
	$(BIN)/python benchmarks/stream.py

bench-peers: setup ## One classification, and that of the peers that are installed (see benchmarks/peers.py)
	$(BIN)/python benchmarks/peers.py --bundle fast=src/firstlight/models/fast --bundle default=src/firstlight/models/default

crossval-seed: setup ## Honest 5-fold cross-validation of the paper's design (about half an hour)
	$(BIN)/firstlight crossval --preset seed --folds 5 --jobs 2 --out runs/crossval-seed
	cp runs/crossval-seed/metrics.json docs/results/crossval-seed.json

crossval-default: setup ## Honest 5-fold cross-validation of the default (about half an hour)
	$(BIN)/firstlight crossval --preset default --folds 5 --jobs 2 --out runs/crossval-default
	cp runs/crossval-default/metrics.json docs/results/crossval-default.json

crossval-fast: setup ## Honest 5-fold cross-validation of the stream's preset (about half an hour)
	$(BIN)/firstlight crossval --preset fast --folds 5 --jobs 2 --out runs/crossval-fast
	cp runs/crossval-fast/metrics.json docs/results/crossval-fast.json

reproduce: setup ## The whole paper in three columns -> docs/results/reproduction.* (about two hours)
	$(BIN)/firstlight fetch plasticc
	$(BIN)/firstlight reproduce --out runs/reproduction --jobs 2 $(if $(SNPCC),--snpcc $(SNPCC))
	$(BIN)/python benchmarks/cost.py --out runs/reproduction/reproduction/data/cost-benchmark.json
	cp -r runs/reproduction/reproduction docs/results/
	$(BIN)/python docs/update.py

bundle: setup ## Retrain the bundles that ship with the package
	for preset in default fast; do \
		$(BIN)/firstlight train --data plasticc --preset $$preset --out runs/$$preset-bundle || exit 1; \
		rm -rf src/firstlight/models/$$preset && cp -r runs/$$preset-bundle src/firstlight/models/$$preset; \
	done

figures: setup ## Write the numbers and pictures of README and docs from results and code
	$(BIN)/python docs/update.py
	$(BIN)/python docs/architecture.py
	$(BIN)/python docs/write_features.py
	$(BIN)/python docs/write_cards.py
	$(BIN)/python docs/write_pictures.py
	$(BIN)/python docs/write_reference.py

clean: ## Remove what was built here (not the data cache)
	rm -rf $(VENV) runs build dist site .cache .pytest_cache .mypy_cache .ruff_cache
