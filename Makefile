# `make demo` and `make test` install what they need into .venv; nothing is expected but Python 3.11 or newer, and make.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

# Without compiled files each of the hundred processes that tests start would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo docs test test-all mutations check audit faults lab bench bench-load bench-classify bench-classify-photographs bench-answers bench-train bench-ingestion bench-start bench-stacks bench-networks bench-linear bench-own-images bench-open-set bench-feature-tables bench-value bench-cards bench-paper bench-pages clean

demo: .venv/installed-local
	$(BIN)/noisegate demo

# Pages to read in a browser, offline; a service of this checkout has them at /docs/guide from its next start.
docs: .venv/installed-docs
	$(BIN)/python scripts/build_guide.py

# Of three processes on two cores there is always one that computes while others wait for what they have started.
TESTS := $(BIN)/python -m pytest --numprocesses 3 --dist worksteal
# Some eight minutes on two cores with AVX512: benchmarks/results/test_costs.txt says where the time goes (on a slower machine), and
# PYTEST='-p tests.cost' measures it. make test PYTEST='-k together -x' passes options on.
test: .venv/installed-test
	$(TESTS) -m "not nightly" $(PYTEST)

# What make test leaves out, too: all presets, tests of workers on both databases, four times the examples of each property, and
# at every call the shapes that signatures state, which takes an eighth of the time of what computes.
SHAPES := noisegate.learning,noisegate.evaluation,noisegate.networks,noisegate.noise,noisegate.rejection,tests.check_types
test-all: .venv/installed-test
	THOROUGH=1 $(TESTS) --jaxtyping-packages=$(SHAPES) $(PYTEST)

# Is the suite worth its minutes? Breaks the code in one place after another and says whether make test's tests notice.
mutations: .venv/installed-test
	$(BIN)/python scripts/mutations.py

check: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/openapi_document.py
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml noisegate service worker migrations
	$(BIN)/python scripts/audit.py --if-reachable

# Known vulnerabilities in what constraints.txt pins; fails where the advisory service does not answer, unlike make check.
audit: .venv/installed-test
	$(BIN)/python scripts/audit.py

# Half an hour or more on two cores: every fault, as often as its bound asks for, and the service against its own OpenAPI.
faults: .venv/installed-test
	$(BIN)/python -m tests.faults --database postgresql --json benchmarks/results/faults_postgresql.json
	$(BIN)/python -m tests.faults --database sqlite --json benchmarks/results/faults_sqlite.json
	$(BIN)/python -m tests.faults.conformance --json benchmarks/results/conformance.json

# Clients that others have written, each in an environment of its own, in a temporary folder: some minutes, and a package index.
clients: .venv/installed-test
	$(BIN)/python benchmarks/clients.py

COMPOSE ?= docker compose
# docker-compose.yml through its life, on a real engine, as a project of its own: half an hour on two cores.
# PREVIOUS="--previous 'docker compose --project-directory OTHER_TREE' --previous-is v1" adds the upgrade from there.
lab: .venv/installed-test
	$(BIN)/python -m tests.deployment.lab --compose "$(COMPOSE)" --json benchmarks/results/deployment.json $(PREVIOUS)

# A minute at 90 % of what one service can do, in a container or not: make bench-load URL=http://127.0.0.1:8000 PID=… (NOISEGATE_API_KEY)
bench-load: .venv/installed-test
	$(BIN)/python benchmarks/steady_load.py --url $(URL) --pid $(PID) --json benchmarks/results/steady_load.json

# make bench ARCHIVE=cifar10.tar.xz, of train/<class>/* and test/<class>/*.
bench: .venv/installed-test
	$(BIN)/python benchmarks/kill_recovery.py
	$(BIN)/python benchmarks/claim_rates.py
	$(BIN)/python benchmarks/cifar10_end_to_end.py --archive $(ARCHIVE)

# Two idle cores and wrk; some ten minutes. PEERS=--install-peers adds LitServe and BentoML, each in an environment of its own.
bench-classify: .venv/installed-test
	$(BIN)/python benchmarks/classify.py $(PEERS)

# The same with a backbone at 224 px and JPEGs of 640 × 480; ARCHIVE=photographs.tar, of <class>/*, 128 px. Some ten minutes.
bench-classify-photographs: .venv/installed-test
	$(BIN)/python benchmarks/classify.py --photographs $(ARCHIVE) $(PEERS)

# Where the time of an answer goes (py-spy), 64 images a request, 1 to 64 connections by one process and two: ten minutes on two idle
# cores with wrk. BEFORE=a checkout of an earlier version; MODEL=a folder keeps the model between them.
MODEL ?= $(RUNS)/answers
bench-answers: .venv/installed-test
	$(BIN)/python benchmarks/answer_profile.py --model $(MODEL) $(if $(BEFORE),--before $(BEFORE))
	$(BIN)/python benchmarks/connections.py --model $(MODEL) --seconds 4
	$(BIN)/python benchmarks/batches.py --model $(MODEL) $(if $(BEFORE),--before $(BEFORE))

# Two idle cores; some fifteen minutes. ARCHIVE=cifar10.tar.xz gives the naive loop real JPEGs. On a CUDA machine, from a bare
# checkout, with PyTorch, NumPy, pydantic, torchvision and Pillow (eight minutes): python3 benchmarks/train_gpu.py
bench-train: .venv/installed-test
	$(BIN)/python benchmarks/train_cpu.py $(if $(ARCHIVE),--archive $(ARCHIVE))

# How long `noisegate up` takes until it is ready, and what it takes without work: ten minutes of two idle cores, twenty with
# BEFORE=a checkout of an earlier version.
bench-start: .venv/installed-test
	$(BIN)/python benchmarks/start_and_idle.py $(if $(BEFORE),--before $(BEFORE))

# How long packing an upload takes: make bench-ingestion ARCHIVE=cifar10.tar.xz BEFORE=a checkout of 052a318; two idle cores, two minutes.
bench-ingestion: .venv/installed-test
	$(BIN)/python benchmarks/ingestion.py $(ARCHIVE) $(if $(BEFORE),--before $(BEFORE))

# Are executions that train together as good as those that train alone? make bench-stacks ARCHIVE=cifar10.tar.xz: an hour on two cores.
bench-stacks: .venv/installed-test
	$(BIN)/python benchmarks/stacked_or_single.py --archive $(ARCHIVE)

RUNS ?= noisegate-runs
# How well the networks learn CIFAR-10, and in how long: make bench-networks ARCHIVE=cifar10.tar.xz RUNS=runs. Hours on two cores; what
# the folder has already is not repeated. Then images a second beside a plain loop.
bench-networks: .venv/installed-test
	$(BIN)/python benchmarks/networks.py --archive $(ARCHIVE) --runs $(RUNS)
	$(BIN)/python benchmarks/networks.py --archive $(ARCHIVE) --steps

# Five minutes of a core, and one for the features of ARCHIVE=photographs.tar, of <class>/*: make bench-linear ARCHIVE=… RUNS=runs
bench-linear: .venv/installed-test
	mkdir -p $(RUNS)
	$(BIN)/python benchmarks/linear_heads.py --archive $(ARCHIVE) --features $(RUNS)/features.npz

# Some fifteen minutes of a core: make bench-open-set ARCHIVE=photographs.tar CIFAR10=cifar10.tar.xz RUNS=runs
bench-open-set: .venv/installed-test
	$(BIN)/python benchmarks/open_set_flowers.py --archive $(ARCHIVE) --cifar10 $(CIFAR10) --features $(RUNS)/open-set-features

NAME ?= flowers
# Tables 2 and 3 on features, 50 executions a cell, a quarter of an hour of a core or more: make bench-feature-tables ARCHIVE=flowers.tar
# RUNS=runs; what the folder has already is not repeated. The copy of CIFAR-10: NAME=cifar10 TABLES="--train 100 --test 500 --base-epochs 1".
bench-feature-tables: .venv/installed-local
	$(BIN)/python benchmarks/feature_tables.py --archive $(ARCHIVE) --name $(NAME) --data-dir $(RUNS)/$(NAME) $(TABLES)

# Photographs to a served model, and beside a textbook's loop: make bench-own-images IMAGES=photographs.tar RUNS=runs, of <class>/* with
# 500 of each class. An hour on two idle cores, most of it the loop's; what the folder has already is not repeated. Parts of it:
# PARTS="few all linear fine_tune textbook textbook_time", any of them; PARTS="few all" takes some ten minutes.
bench-own-images: .venv/installed-local
	$(BIN)/python benchmarks/own_images.py --images $(IMAGES) --runs $(RUNS) $(if $(PARTS),--parts $(PARTS))

# How much of planted label noise is found, beside cleanlab, and what leaving it out does: two minutes of a core for the digits, as many for
# make bench-value RUNS=runs FLOWERS=flowers.tar, and some twenty minutes of a core for CIFAR10=cifar10.tar.xz, by features.
bench-value: .venv/installed-test
	$(BIN)/python benchmarks/sample_value.py --runs $(RUNS) $(if $(FLOWERS),--flowers $(FLOWERS)) $(if $(CIFAR10),--cifar10 $(CIFAR10)) $(VALUE)

# Five minutes of a core: milliseconds of each page, what a hundred open ones cost, and whether /classify notices.
bench-pages: .venv/installed-test
	$(BIN)/python benchmarks/pages.py
	$(BIN)/python benchmarks/open_pages.py
	$(BIN)/python benchmarks/classify_beside_pages.py

# make bench-cards ARCHIVE=cifar10.tar.xz RUNS=runs: half an hour on two cores.
bench-cards: .venv/installed-test
	$(BIN)/python benchmarks/cards.py --archive $(ARCHIVE) --data-dir $(RUNS)

# Hours on two cores; what the folder has already is not repeated. make bench-paper ARCHIVE=cifar10.tar.xz RUNS=runs
bench-paper: .venv/installed-local
	$(BIN)/python benchmarks/paper_cifar10.py --archive $(ARCHIVE) --data-dir $(RUNS)
	$(BIN)/python benchmarks/recommended.py --archive $(ARCHIVE) --data-dir $(RUNS)

.venv/installed-%: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Noisegate needs Python 3.11 or newer; try: make PYTHON=python3.12 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (PyTorch included: a few minutes the first time)"
	$(INSTALL) ".[$*]"
	touch $@

clean:
	rm -rf .venv noisegate-data build service/guide/built *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
