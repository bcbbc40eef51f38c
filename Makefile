# Each target sets up .venv by itself. On Windows, or without make, use the commands in README.md.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: lab distill test notebooks assignments grade

lab: .venv/ready
	$(BIN)/jupyter lab notebooks

distill: .venv/ready
	$(BIN)/python -m kdtutor distill

test: .venv/ready
	$(BIN)/python -m pytest --nbval -n 2 --dist loadfile

notebooks: .venv/ready
	$(BIN)/python notebooks/execute.py
	$(BIN)/ruff format --quiet notebooks
	$(BIN)/ruff check notebooks kdtutor tests

assignments: .venv/ready
	$(BIN)/python -m kdtutor assignments

grade: .venv/ready  # make grade SUBMISSIONS=folder
	$(BIN)/python -m kdtutor grade "$(SUBMISSIONS)"

.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch .venv/ready
