# fe-mail: everything that we ask of a newcomer is a target here.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: run test check bench lock docs clean

run: $(READY)      ## fe-mail in demo mode, on unprivileged ports of loopback
	$(BIN)/twistd --nodaemon --pidfile= fe-mail --demo $(ARGS)

test: $(READY)     ## unit, contract and end-to-end tests
	$(BIN)/python -m twisted.trial $(if $(JOBS),-j$(JOBS)) $(or $(TESTS),tests)

check: $(READY)    ## ruff, mypy --strict, layers, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m twisted.trial tests.test_layers tests.test_generated

bench: $(READY)    ## figures for docs/benchmarks.rst
	$(BIN)/python -m bench $(ARGS)

docs: $(READY)     ## write again what is generated from code
	$(BIN)/python -m fe_mail.app.reference

lock:              ## pin what setup.cfg asks for (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --extra dev -o requirements.lock setup.cfg

$(READY): requirements.lock setup.cfg
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "fe-mail needs Python 3.11 or later (PYTHON=... make chooses another)."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "Python cannot make virtual environments: install the package python3-venv."; exit 1; }
	@echo "Preparing $(VENV): what fe-mail needs is fetched once, which takes a minute or two."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --disable-pip-version-check --require-hashes -r requirements.lock
	@echo "Installing fe-mail itself."
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  --config-settings editable_mode=compat -e .
	@touch $@
	@echo "$(VENV) is ready."

clean:             ## forget the environment and what tests left
	rm -rf $(VENV) _trial_temp* build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
