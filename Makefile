# Each target sets up .venv by itself when pyproject.toml or constraints.txt has changed.
#   PYTHON         the interpreter that .venv is made from (3.11 or newer)
#   TORCH_BACKEND  which build of PyTorch to install, handed to uv: cpu, auto, cu130, …
#   PYTEST         more arguments for pytest, as in make test PYTEST="-k settings"
#   WORKERS        processes that make test spreads the test files over
#   SECONDS        how long make soak takes
#   PROCESSES      how many runs make reproduce-silent and reproduce-paper do at a time

PYTHON ?= python3
TORCH_BACKEND ?=
PYTEST ?=
WORKERS ?= 2
SECONDS ?= 3600
PROCESSES ?= 1

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo kafka prometheus test alert-test image-test compose-test crash-test upgrade-test \
  surface serving-test evening check format bench fuzz soak reproduce-silent reproduce-paper \
  reproduce-quick dashboards dashboard-pictures page-picture constraints clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' Makefile

setup: $(READY)  ## make .venv (the others do so when needed); small CPU build: TORCH_BACKEND=cpu

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "SI Stream needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	    "Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
ifeq ($(TORCH_BACKEND),)
	@echo "Setting up $(VENV): 6.7 GB on disk, 3.3 GB to download, most of it PyTorch for CUDA." \
	  "The CPU build takes about 2 GB: make clean && make TORCH_BACKEND=cpu $(MAKECMDGOALS)"
else
	@echo "Setting up $(VENV) with PyTorch's $(TORCH_BACKEND) build: about 2 GB on disk" \
	  "for cpu, 6.7 GB for CUDA."
endif
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt uv
	$(BIN)/uv pip install --python $(BIN)/python --constraints constraints.txt \
	  --build-constraints constraints.txt --compile-bytecode \
	  $(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND)) --editable '.[simulators,dev]'
	@touch $@

demo: $(READY)  ## five tasks learned in turn, with and without Synaptic Intelligence
	$(BIN)/si-stream demo

kafka: $(READY)  ## a Kafka broker on 127.0.0.1:9092 to develop with (Java 17, Maven); Ctrl-C ends it
	$(BIN)/python deploy/kafka/local_broker.py

prometheus: $(READY)  ## Prometheus on :9090 and Alertmanager beside si-stream serve; Ctrl-C ends them
	$(BIN)/python deploy/prometheus/local_prometheus.py

test: $(READY)  ## all tests; SI_STREAM_DATA names a directory of data sets for the real ones
	$(BIN)/pytest --durations=10 --numprocesses $(WORKERS) --dist loadfile $(PYTEST)

alert-test: $(READY)  ## cause every fault at real processes, see its alert fire, minutes
	$(BIN)/pytest tests/deploy/prometheus/every_fault.py $(PYTEST)

image-test: $(READY)  ## run the Dockerfile's steps in a directory, serve what they build; some minutes
	$(BIN)/pytest tests/deploy/image.py $(PYTEST)

compose-test: $(READY)  ## the services of deploy/compose.yaml as plain processes; a minute or two
	SI_STREAM_REQUIRE_REAL=1 $(BIN)/pytest tests/deploy/all_of_compose.py $(PYTEST)

evening: $(READY)  ## the evening of an engineer on call, all of it real; some minutes
	SI_STREAM_REQUIRE_REAL=1 $(BIN)/pytest tests/evening.py

crash-test: $(READY)  ## kill learners 220 times, compare what they learned; docs/results/crash-test.json
	$(BIN)/python -m tests.crashes

upgrade-test: $(READY)  ## learners of earlier commits upgraded in mid-stream; docs/results/upgrade.json
	$(BIN)/python -m tests.upgrades

surface: $(READY)  ## write what is frozen of settings, commands, routes, … anew; tests/surface
	$(BIN)/python -m tests.surface

serving-test: $(READY)  ## three predictors while all around them fails, minutes; docs/results/serving.json
	$(BIN)/python -m tests.serving

check: $(READY)  ## format, lint, types and the directions of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## speed as ratios in one run, also written to benchmarks/latest.json
	$(BIN)/python -m benchmarks

fuzz: $(READY)  ## 100,000 hostile messages, some minutes; also written to docs/results/fuzz.json
	$(BIN)/python -m tests.fuzz

soak: $(READY)  ## the service under load for SECONDS=3600; also written to docs/results/soak.json
	$(BIN)/python -m tests.soak --seconds $(SECONDS)

reproduce-silent: $(READY)  ## boundaries that nobody announces, PROCESSES=1 runs at a time, hours; docs/results.md
	$(BIN)/si-stream reproduce silent-boundaries --directory docs/results --page docs/results.md \
	  --processes $(PROCESSES)

reproduce-paper: $(READY)  ## the paper's benchmarks as its authors ran them, days on a core; docs/results.md
	for benchmark in split-mnist permuted-mnist split-cifar; do \
	  $(BIN)/si-stream reproduce $$benchmark --directory docs/results --page docs/results.md \
	    --processes $(PROCESSES) || exit; \
	done

reproduce-quick: $(READY)  ## the same in small, every method of each; minutes; si-stream-results/quick
	for benchmark in split-mnist permuted-mnist split-cifar; do \
	  $(BIN)/si-stream reproduce $$benchmark --methods all --epochs 1 --task-count 2 --seeds 1 \
	    --samples-per-task 2000 --directory si-stream-results/quick --processes 2 || exit; \
	done

dashboards: $(READY)  ## write the JSON of Grafana's dashboard anew, from deploy/grafana
	$(BIN)/python -m deploy.grafana.generate

dashboard-pictures: $(READY)  ## replay split MNIST before Prometheus, draw the dashboard; docs/pictures
	$(BIN)/python -m deploy.grafana.pictures

page-picture: $(READY)  ## the picture of the live page anew, with chromium; docs/pictures/page.png
	$(BIN)/python -m tests.services.predictor.page.picture

constraints: $(READY)  ## pin every package anew, to the newest that pyproject.toml allows
	$(BIN)/uv pip compile pyproject.toml --extra simulators --extra dev --universal --upgrade \
	  --python-version 3.11 --no-annotate --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make constraints" --output-file constraints.txt

clean:  ## remove .venv and all that tools have left
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find si_stream services simulators tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
