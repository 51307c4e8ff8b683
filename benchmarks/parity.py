"""Compare an app's model with recorded outputs of its reference: `python -m benchmarks.parity APP FIXTURE`.

Prints the largest absolute error and the tolerance of each quantity. Exit status: 0 all within tolerance, 1 some exceed
it, 2 the arguments or the fixture are invalid.
"""

import importlib
import os
import sys
from pathlib import Path

USAGE = "usage: python -m benchmarks.parity APP FIXTURE"


def main(arguments: list[str]) -> int:
    """Run the comparison and return the exit status."""
    if len(arguments) != 2:
        print(USAGE, file=sys.stderr)
        return 2
    app, path = arguments
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if not app.isidentifier():
        print(f"{app}: no such app\n{USAGE}", file=sys.stderr)
        return 2
    try:
        parity = importlib.import_module(f"transect.apps.{app}.parity")
    except ModuleNotFoundError as error:
        print(f"{app}: {error}\n{USAGE}", file=sys.stderr)
        return 2
    import torch

    try:
        fixture = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise anything
        print(f"{path}: {type(error).__name__}: {error}\n{USAGE}", file=sys.stderr)
        return 2
    try:
        comparisons = parity.compare(fixture)
    except ValueError as error:  # a tensor is missing or has another shape: a different model
        print(f"{path}: {error}", file=sys.stderr)
        return 1
    except (KeyError, TypeError, AttributeError) as error:
        print(f"{path}: not a fixture of {app}: {type(error).__name__}: {error}\n{USAGE}", file=sys.stderr)
        return 2

    print(f"{app} against {Path(path).name}")
    wide = max(20, *(len(comparison.quantity) for comparison in comparisons))
    print(f"{'quantity':<{wide}} {'largest error':>14} {'tolerance':>14}")
    failed = False
    for quantity, largest, tolerance in comparisons:
        past = not largest <= tolerance
        failed = failed or past
        print(f"{quantity:<{wide}} {largest:>14.3e} {tolerance:>14.3e} {'PAST' if past else 'ok'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
