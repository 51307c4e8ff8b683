# Two commands: `make demo` shows the whole road, `make test` runs what CI runs. Both set everything up.
# `make test PYTHON=python3.12 NUMPY=1` tests other versions, in an environment of their own.

VENV := .venv$(addprefix -,$(patsubst python%,%,$(notdir $(PYTHON))))$(addprefix -numpy,$(NUMPY))
PY := $(VENV)/bin/python
TRANSECT := $(VENV)/bin/transect
DEMO := demo
export OMP_WAIT_POLICY := passive

.PHONY: demo test lint clean

UV := .venv/bin/uv

$(UV):
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check uv --constraint constraints.txt

$(VENV)/ready: pyproject.toml constraints.txt | $(UV)
	[ -e $(PY) ] || $(UV) venv --quiet --python $(or $(PYTHON),python3) $(VENV)
	$(UV) pip install --quiet --upgrade --python $(PY) --constraints constraints.txt --group dev --editable '.[all]' \
		$(NUMPY:%='numpy==%.*')
	touch $@

demo: $(VENV)/ready
	./demo.sh $(CURDIR)/$(TRANSECT) $(DEMO)

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

test: lint
	OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder \
		--cov --cov-report=term --cov-report=html

clean:
	rm -rf .venv .venv-* $(DEMO) htmlcov .coverage .pytest_cache .mypy_cache .ruff_cache
