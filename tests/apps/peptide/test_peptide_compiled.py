import importlib
import sys
from pathlib import Path

import pytest

CALLED = """
from transect.apps.peptide.compiled import compiled
STEP = 1

@compiled
def step(x):
    return x + {step}
"""
CALLER = """
from called import STEP, step
from transect.apps.peptide.compiled import compiled

@compiled
def twice(x):
    return step(step(x)) + {constant}
"""


@pytest.mark.parametrize("constant", ["0", "STEP"])
def test_a_cached_function_is_compiled_again_when_what_it_imports_changes(constant: str, tmp_path: Path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "caller.py").write_text(CALLER.format(constant=constant))

    def twice(called: str) -> tuple[int, bool]:
        (tmp_path / "called.py").write_text(called)
        for name in ("called", "caller"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        function = importlib.import_module("caller").twice
        return function(10), bool(function.stats.cache_hits)

    offset = int(constant == "STEP")
    assert twice(CALLED.format(step=1)) == (12 + offset, False)
    assert twice(CALLED.format(step=1)) == (12 + offset, True)
    edited = CALLED.format(step=1).replace("STEP = 1", "STEP = 3") if offset else CALLED.format(step=2)
    assert twice(edited) == (15 if offset else 14, False)
