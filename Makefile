# On a fresh machine: Python 3.10 or later with venv, make, and a network.
#   make demo    a benchmark on embedded images, and its report
#   make test    every test
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements/constraints.txt
# Whatever fits two cores and ten minutes.
DEMO_AGENTS := disc,grabcut,geodesic,watershed,pocket-click-onnx,pocket-sam-onnx
DEMO_RUN := $(BIN)/simclick run -m agent=$(DEMO_AGENTS) engine.workers=2 save_masks=true out=demo/runs
# What 10, 20, 30 pixels of noise cost, with a click and with a box.
DEMO_NOISE := $(BIN)/simclick run -m agent=grabcut,watershed,pocket-click-onnx,pocket-sam-onnx engine.workers=2 \
  protocol=click-noise-v1,box-noise-v1 protocol.levels=[0,10,20,30] protocol.repeats=3 out=demo/runs

.PHONY: demo install test test-slow lint types smoke bench constraints clean
.DELETE_ON_ERROR:

demo: .venv/.demo
	$(DEMO_RUN) dataset=phantoms dataset.limit=48
	$(DEMO_RUN) dataset=mni152
	$(DEMO_NOISE) dataset=phantoms dataset.limit=24
	$(BIN)/simclick report demo/runs/* --out demo/report
	@echo
	@echo "Open demo/report/index.html in a browser."

install: .venv/.full

test: .venv/.full
	$(BIN)/python -m pytest -n 2

# Full-size models and long simulations.
test-slow: .venv/.full
	$(BIN)/python -m pytest -m slow

lint: .venv/.full
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Static tools cannot follow an editable install's mapping of folders, so they read a wheel.
types: .venv/.full
	$(BIN)/python tests/tools/wheel.py types

# The wheel in a clean environment, from another directory.
smoke: .venv/.full
	$(BIN)/python tests/tools/wheel.py smoke

# Tables of docs/speed.md. RITM=checkout of its repository, MASKS=folder of PNG masks, FULL=1: also a million rows,
# VITB=1: also a sweep with SAM's ViT-B (an hour or more).
bench: .venv/.full
	$(BIN)/python benchmarks/all.py $(if $(RITM),--ritm $(RITM)) $(if $(MASKS),--masks $(MASKS)) $(if $(FULL),--full) \
	  $(if $(VITB),--vit-b)

constraints: .venv/.uv
	$(BIN)/uv pip compile --universal --python-version 3.10 --constraint requirements/pins.in \
	  --extra sam --extra onnx --extra train --extra process --extra ritm --extra demo --extra gpl --extra dev --no-annotate --no-header \
	  --upgrade --output-file requirements/constraints.txt pyproject.toml

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/.uv:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
	@touch $@

.venv/.demo: .venv/.uv pyproject.toml requirements/constraints.txt
	$(INSTALL) --editable '.[demo,onnx]'
	@touch $@

.venv/.full: .venv/.uv pyproject.toml requirements/constraints.txt
	$(INSTALL) --editable '.[sam,onnx,train,process,ritm,demo,gpl,dev]'
	@touch $@ .venv/.demo
