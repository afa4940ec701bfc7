# Everything sets itself up: a virtual environment in .venv, made anew when pyproject.toml or constraints.txt change.
# `make PYTHON=/path/to/python3 ...` chooses the interpreter; `make check ARGS="--steps 1000"` passes options on.

ENV := .venv
RUN := $(ENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The steps share one environment and two processor cores are enough for one of them.
.NOTPARALLEL:
.PHONY: help check prove test pytest test-newer test-compiled docs bench faults lab mutants spec-mutants proof-strength hunt findings fuzz-evidence fuzz-seeds constraints clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

check: $(ENV)/ready-to-check ## compare the bundled device with the specification, in memory and over a pseudo-terminal
	$(ENV)/bin/chardev check $(ARGS)

prove: $(ENV)/ready-to-test ## prove every invariant of the specification, from the text that runs
	$(ENV)/bin/chardev prove $(ARGS)

test: $(ENV)/ready-to-test ## lint, types, all tests, and the docs, with warnings as errors
	$(ENV)/bin/ruff check
	$(ENV)/bin/ruff format --check
	$(ENV)/bin/codespell
	$(RUN) -m chardev_spec.lint
	$(ENV)/bin/mypy --strict
	$(MAKE) pytest
	$(MAKE) docs

# Who has done its files takes some of another's: a few of them take minutes.
PARALLEL := --numprocesses logical --dist worksteal

pytest: $(ENV)/ready-to-test ## the tests alone, on all cores; ARGS go to pytest
	$(RUN) -m pytest $(PARALLEL) $(ARGS)

test-newer: $(ENV)/ready-to-test ## the tests again on a newer interpreter, where this machine has one
	@if python=$$(tools/find_python.sh --newer-than $(RUN)); then \
		echo "test-newer: $$python"; \
		$(MAKE) pytest ENV=.venv-newer PYTHON="$$python"; \
	else \
		echo "test-newer: skipped, see the line above"; \
	fi

# All of tests/conformance but what the device has no part in: pages of Sphinx; the real libspice-server and recordings of
# it, which the specification judges; and the slow ones of those that explore the specification or replay vectors on it.
# Of tests/docs the code on the pages runs the device. Of the other folders none does: tests/spec and tests/proofs do not
# import it, tests/mutants changes its sources, tests/house reads them, the rest tests other devices and tools.
COMPILED_TESTS := tests/impl tests/conformance tests/docs/test_code.py \
	$(addprefix --ignore=tests/conformance/,sphinx spice_server recorded) \
	$(addprefix --deselect=tests/conformance/test_vectors.py::test_, \
		the_set_is_what_this_specification_makes the_set_replays_on_the_specification walks_cover_what_they_say) \
	--deselect=tests/conformance/test_drivers.py::test_the_documentation_has_the_scopes_as_they_are

test-compiled: .venv-compiled/ready-to-test ## all tests that run the device, and the check, on the device compiled by mypyc
	CHARDEV_COMPILED=1 .venv-compiled/bin/python -m pytest $(PARALLEL) $(COMPILED_TESTS) $(ARGS)
	.venv-compiled/bin/chardev check

docs: docs/_build/npm/ready proof-report ## the site, in docs/_build/html
	$(RUN) tools/readme_figures.py --check
	$(ENV)/bin/sphinx-build --fresh-env --nitpicky --fail-on-warning --keep-going --quiet docs docs/_build/html

lab: $(ENV)/ready-for-lab ## check and port tests on serial drivers of a guest under QEMU: UART, FTDI, CDC-ACM, virtio
	$(RUN) -m tests.lab $(ARGS)

.PHONY: proof-report readme docs-page
# What has not changed since it was proved is not proved again. What is not proved is shown on the pages.
proof-report: $(ENV)/ready-to-test
	mkdir -p docs/_build
	$(ENV)/bin/chardev prove --json > docs/_build/proofs.new || [ $$? -eq 1 ]
	mv docs/_build/proofs.new docs/_build/proofs.json

readme: proof-report ## write the figures of the README anew
	$(RUN) tools/readme_figures.py

docs-page: proof-report ## the whole site as one page for reading off line, in docs/_build/page
	$(ENV)/bin/sphinx-build --fresh-env --nitpicky --fail-on-warning --keep-going --quiet -b singlehtml docs docs/_build/page

# What runs in the reader's browser comes from npm by name; without npm the page that needs it says so.
docs/_build/npm/ready: docs/stepper/package.json docs/stepper/compile.mjs
	mkdir -p $(@D)
	cp $< $(@D)
	if command -v npm >/dev/null; then \
		cd $(@D) && npm install --no-audit --no-fund --no-package-lock --loglevel=error && \
		node ../../stepper/compile.mjs . && touch ready; \
	else \
		echo "docs: npm is not there, so the page with the stepper will say that it is missing"; \
	fi

bench: $(ENV)/ready-to-bench .venv-compiled/ready-to-test ## measure all: the device on lines, how its cost grows, the checker
	$(RUN) bench $(ARGS)

vectors: $(ENV)/ready-to-check ## make the set of test vectors anew
	$(ENV)/bin/chardev vectors make conformance/chardev_conformance/vectors/set-1
# 10 GiB in all with checksums, 60,000 connections; `make pytest` does the same with 1 GiB and 1,000.
faults: $(ENV)/ready-to-test ## lines and peers that misbehave, and `chardev serve` under load for a long time
	CHARDEV_SERVE_MIB=$${CHARDEV_SERVE_MIB:-10240} CHARDEV_SERVE_CONNECTIONS=$${CHARDEV_SERVE_CONNECTIONS:-60000} \
		$(RUN) -m pytest tests/impl/test_faults.py tests/impl/test_serve.py -k "line or peer or signals or lot or thousand" \
		--durations=0 $(ARGS)

mutants: $(ENV)/ready-to-test ## find every seeded defect of the device; writes the table of the docs
	$(RUN) -m tests.mutants --output docs/defects.rst $(ARGS)

.PHONY: c-defects
c-defects: $(ENV)/ready-to-test ## find every seeded defect of the device in C; writes the table of the docs
	$(RUN) -m tests.c_device.run --output docs/c-defects.rst $(ARGS)

spec-mutants: $(ENV)/ready-to-test ## look for every machine-made mutant of the specification; writes the page of the docs
	$(RUN) -m tests.spec_mutants --output docs/spec-mutants.rst $(ARGS)

hunt: $(ENV)/ready-to-test ## hunt for findings in libspice-server for ten minutes; adds them to the page of the docs
	$(RUN) -m chardev_conformance.spice_server --output docs $(ARGS)

findings: $(ENV)/ready-to-test ## replay each finding in libspice-server that the docs tell of, three times
	$(RUN) -m chardev_conformance.spice_server --again docs/spice-server $(ARGS)

fuzz-evidence: $(ENV)/ready-to-test ## time to find every seeded defect, campaigns against other ways; writes the page of the docs
	$(RUN) -m tests.fuzz_evidence --output docs/fuzzing-evidence.rst --method fuzz --method check \
		--method "the defects known" --method "fuzz (C)" --method "check (C)" $(ARGS)

fuzz-seeds: $(ENV)/ready-to-test ## distil the scenarios that fuzzing campaigns begin with from the specification, and put them in order
	$(RUN) -m chardev_conformance.fuzzing.distil conformance/chardev_conformance/fuzzing/seeds.jsonl.xz
	$(RUN) tools/rank_fuzz_seeds.py conformance/chardev_conformance/fuzzing/seeds.jsonl.xz

proof-strength: $(ENV)/ready-to-test ## let proofs and random calls look for quirks and mutants of the specification: an hour
	$(RUN) -m tests.proof_strength --output docs/proof-strength.rst $(ARGS)

constraints: ## make constraints.txt anew: the current versions of all that `make test` and `make lab` install
	rm -rf .venv-constraints
	$$(tools/find_python.sh) -m venv .venv-constraints
	.venv-constraints/bin/python -m pip --disable-pip-version-check --quiet install '.[dev,lab,bench]' setuptools
	{ grep '^#' constraints.txt; \
	  .venv-constraints/bin/python -m pip --disable-pip-version-check freeze --exclude chardev; } > constraints.new
	mv constraints.new constraints.txt
	rm -rf .venv-constraints

clean: ## remove what make made
	rm -rf .venv .venv-newer .venv-compiled .venv-constraints docs/_build .lab

# hatchling first and no build isolation: the build backend is pinned like everything else.
$(ENV)/created: pyproject.toml constraints.txt tools/find_python.sh
	rm -rf $(ENV)
	python=$$(tools/find_python.sh) && "$$python" -m venv $(ENV)
	$(PIP) install --constraint constraints.txt hatchling
	touch $@

# `check` needs less than `test`, so it is ready sooner.
$(ENV)/ready-to-check: $(ENV)/created
	$(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[conformance]'
	touch $@

.venv-compiled/created: pyproject.toml constraints.txt tools/find_python.sh
	rm -rf .venv-compiled
	python=$$(tools/find_python.sh) && "$$python" -m venv .venv-compiled
	.venv-compiled/bin/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt \
		hatchling mypy setuptools
	touch $@

# A wheel, not an editable copy: what is compiled must not lie beside the sources of the other environments.
# So it is made anew when anything changes that it holds.
.venv-compiled/ready-to-test: .venv-compiled/created tools/compile_device.py \
		$(shell find spec impl proofs conformance -type f -not -path '*/__pycache__/*')
	CHARDEV_COMPILED=1 .venv-compiled/bin/python -m pip --disable-pip-version-check --quiet install \
		--constraint constraints.txt --no-build-isolation '.[dev,bench]'
	touch $@

$(ENV)/ready-to-bench: $(ENV)/ready-to-test
	$(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[bench]'
	touch $@

$(ENV)/ready-to-test: $(ENV)/created
	$(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	touch $@ $(ENV)/ready-to-check

$(ENV)/ready-for-lab: $(ENV)/ready-to-test
	$(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[lab]'
	touch $@
