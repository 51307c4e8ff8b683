# Two commands: `make demo` shows the whole road, `make test` runs what CI runs. Both set everything up.

VENV := .venv
PY := $(VENV)/bin/python
TRANSECT := $(VENV)/bin/transect
DEMO := demo
export OMP_WAIT_POLICY := passive

.PHONY: demo test lint clean

$(VENV)/ready: pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check uv
	$(VENV)/bin/uv pip install --quiet --python $(PY) --constraints constraints.txt --group dev --editable '.[all]'
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
	rm -rf $(VENV) $(DEMO) htmlcov .coverage .pytest_cache .mypy_cache .ruff_cache
