# Each command sets everything up by itself: a virtual environment, then the project with its extras.
PYTHON ?= python3
BIN := .venv/bin

conformance: .venv/ready  ## the main job: check the reference, stage by stage
	$(BIN)/pytest conformance

test: .venv/ready  ## all checks: format, lint, types, white-box tests, then the suite
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest tests
	$(BIN)/pytest conformance

kodak: .venv/ready  ## the figures of the README
	$(BIN)/mbtref eval --model lite-q3,lite-q4,lite-q5,lite-q6 --json kodak.json

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,report]'
	touch $@

.PHONY: conformance test kodak
