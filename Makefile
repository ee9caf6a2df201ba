# Each command sets everything up by itself: a virtual environment, then the project with its extras.
PYTHON ?= python3
BIN := .venv/bin
# the suite in short, for simulated processors: all that the order of float sums could change
SHORT := --capabilities transforms,entropy-float,entropy-exact,encode,decode
# what npm installs for web/
TOOLS := web/node_modules/.package-lock.json

conformance: .venv/base  ## the main job: check the reference, stage by stage
	$(BIN)/pytest conformance

test: .venv/ready  ## all checks: format, lint, types, white-box tests, the suite, and a sample of wrong and right implementations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest tests -n auto --maxprocesses 4
	$(BIN)/pytest conformance
	$(BIN)/pytest conformance --processor sse4 $(SHORT)
	$(BIN)/pytest conformance --processor avx2 $(SHORT)
	$(BIN)/python -m mutants --sample "$$(git rev-parse HEAD 2>/dev/null || echo none)"
	@$(MAKE) --no-print-directory web

web: .venv/ready $(TOOLS)  ## the checks of the JavaScript: format, lint, types, and the suite without the Kodak pictures
	@if [ -f $(TOOLS) ]; then npm --prefix web run --silent check; \
		else echo "NOT RUN: format, lint and types of web/ need npm and its registry" >&2; fi
	@case "$$(node --version)" in v[2-9][0-9].*) $(BIN)/pytest conformance --subject js -k 'not kodim';; \
		*) echo "NOT RUN: the suite on the JavaScript needs Node 20 or later" >&2;; esac

minima: .venv/ready  ## the tests with the oldest versions that pyproject.toml allows; 6 GB, Python 3.11, needs the package index
	$(BIN)/python -m release.minima > .venv/minima.txt
	$(PYTHON) -m venv --clear .venv/minima
	.venv/minima/bin/pip install --quiet --constraint .venv/minima.txt \
		--editable '.[mutation,release,report,test]'
	.venv/minima/bin/pytest tests -W default -n auto --maxprocesses 4
	.venv/minima/bin/pytest conformance --tier smoke -W default

gpu: .venv/ready  ## on a GPU: the suite, the tests that need one, times alone and together; PICTURE=kodim01.png
	$(BIN)/pytest conformance --device cuda
	$(BIN)/pytest tests/test_gpu.py
	$(BIN)/python -m benchmarks.reproducible $(PICTURE) cuda

kodak: .venv/ready  ## the figures of docs/usage.md
	$(BIN)/mbtref eval --model lite,wide --json kodak.json --force

matrix: .venv/ready  ## docs/matrix.md: the subjects of the suite side by side; half an hour
	$(BIN)/mbtref export lite,wide -o exports
	for name in reference js compressai numpy onnx:exports; do \
		$(BIN)/pytest conformance --tier full --subject $$name --answer-timeout 300 --report $${name%:*}.json; done; \
	$(BIN)/mbtref matrix reference.json js.json compressai.json numpy.json onnx.json --markdown docs/matrix.md

machines: .venv/ready  ## docs/machines.md: one result on real, simulated and emulated machines
	$(BIN)/mbtref machines -o docs/machines.md

mutants: .venv/ready  ## docs/mutants.md: wrong implementations, what catches them, and right ones; 10 minutes
	$(BIN)/python -m mutants -o docs/mutants.md

benchmark: .venv/ready  ## docs/benchmarks.md: speed and memory beside CompressAI; two hours on an idle machine
	$(BIN)/python -m benchmarks --json benchmark.json --markdown docs/benchmarks.md

release: .venv/ready  ## dist/: the distributions and the archive of the vectors, built and tried; needs the package index
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[release]'
	$(BIN)/python -m release

# PyTorch and what the suite needs; then all the rest
.venv/base: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[codec]'
	touch $@

.venv/ready: .venv/base
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,report]'
	touch $@

# without npm or its registry there are no tools, and what needs them isn't run
$(TOOLS): web/package.json
	npm --prefix web install --silent && touch $@ || true

.PHONY: conformance test web minima gpu kodak matrix machines mutants benchmark release
