# Each target sets up .venv by itself. On Windows, or without make, use the commands in README.md.
PYTHON ?= python3
COLAB_PYTHON ?= python3.13
FLOORS_PYTHON ?= python3.10
BIN = .venv/bin

# The tests whose numbers come out of the processor's own instructions, and those that train.
NUMERICAL = $(addprefix tests/test_,$(addsuffix .py,losses models training sweeps views statistics metrics diagnosis \
	check_run hinton teachers solutions))

.PHONY: lab distill test lint test-processors notebooks assignments grade site slides e2e colab-check floors

lab: .venv/ready
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks

distill: .venv/ready
	$(BIN)/python -m kdtutor distill

test: .venv/ready
	$(BIN)/python -m pytest --nbval -n 2 --dist loadfile

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# The numerical tests as on other processors: without vector instructions, and with AVX2 but small oneDNN kernels.
test-processors: .venv/ready
	ATEN_CPU_CAPABILITY=default $(BIN)/python -m pytest -q -n 2 --dist loadfile $(NUMERICAL)
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=SSE41 $(BIN)/python -m pytest -q -n 2 --dist loadfile $(NUMERICAL)

notebooks: .venv/ready
	$(BIN)/python notebooks/execute.py
	$(BIN)/ruff format --quiet notebooks
	$(BIN)/ruff check notebooks kdtutor tests

assignments: .venv/ready
	$(BIN)/python -m kdtutor assignments

grade: .venv/ready  # make grade SUBMISSIONS=folder
	$(BIN)/python -m kdtutor grade "$(SUBMISSIONS)"

site: .venv/site build/node/ready  # the course as web pages, in build/site/
	$(BIN)/python notebooks/site/build.py

slides: .venv/ready build/node/ready  # a lecture from each notebook, in build/slides/
	$(BIN)/python notebooks/site/slides.py

e2e: site .venv/e2e  # JupyterLab, the site and the slides in Chromium
	$(BIN)/python -m pytest -n 2 tests/e2e/lab.py tests/e2e/website.py

.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch .venv/ready

.venv/site: .venv/ready notebooks/site/requirements.txt
	$(BIN)/python -m pip install --quiet -r notebooks/site/requirements.txt
	touch .venv/site

build/node/ready: notebooks/site/package.json
	mkdir -p build/node
	cp notebooks/site/package.json build/node
	npm install --prefix build/node --no-audit --no-fund --silent
	touch build/node/ready

.venv/e2e: .venv/ready tests/e2e/requirements.txt
	$(BIN)/python -m pip install --quiet -r tests/e2e/requirements.txt
	touch .venv/e2e

colab-check: .venv/ready build/colab/ready  # each notebook alone, as Colab runs it
	$(BIN)/python tests/environments/colab.py

floors: build/floors/ready  # the tests, with the oldest versions that pyproject.toml and requirements.txt admit
	build/floors/bin/python -m pytest --nbval -n 2 --dist loadfile

# $(call needs,VARIABLE,VERSION): end in a sentence unless the variable names a Python of that version
needs = @$($(1)) --version 2>&1 | grep -q '^Python $(2)\.' || { echo '$(1) must name a Python $(2), $($(1)) is none'; exit 1; }

build/colab/ready: tests/environments/colab.txt
	$(call needs,COLAB_PYTHON,3.13)
	$(COLAB_PYTHON) -m venv --clear build/colab
	build/colab/bin/python -m pip install --quiet -r tests/environments/colab.txt
	build/colab/bin/python -m pip freeze --all > build/colab/ready

build/floors/ready: requirements.txt pyproject.toml
	$(call needs,FLOORS_PYTHON,3.10)
	$(FLOORS_PYTHON) -m venv --clear build/floors
	sed -nE 's/^ *"?([a-z-]+)>=([0-9.]+).*/\1==\2/p' requirements.txt pyproject.toml > build/floors/floors.txt
	build/floors/bin/python -m pip install --quiet -c build/floors/floors.txt -r requirements.txt
	touch build/floors/ready
