"""Accuracy and speed of peptide and residue mass deviations: `python -m benchmarks.distances TABLE`.

TABLE is a tab-separated file with the columns of `tests/fixtures/peptide/pmd_rmd.tsv`: query, target, pmd_units,
rmd_units, aa_matches and pep_match. Prints the largest errors against the recorded values, and the time per pair
compared with plain Python loops on the same pairs. Exit status: 0 all within tolerance, 1 some exceed it, 2 the table
cannot be read.
"""

import csv
import os
import sys
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from benchmarks.measure import seconds
from transect.apps.peptide.distances import (
    GAP_COST,
    Masses,
    mass_deviations,
    peptide_mass_deviation,
    residue_mass_deviations,
)
from transect.apps.peptide.matching import residue_matches
from transect.data_adapters.peptide.peptide import Peptide
from transect.data_adapters.peptide.proforma import parse_peptide

USAGE = "usage: python -m benchmarks.distances TABLE"
TOLERANCE = 1e-8
PAIRS, ROUNDS = 2000, 7


def main(arguments: list[str]) -> int:
    """Compare, measure and print; returns the exit status."""
    if len(arguments) != 1:
        print(USAGE, file=sys.stderr)
        return 2
    path = Path(arguments[0])
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        pairs = [(parse_peptide(row["query"]), parse_peptide(row["target"])) for row in rows]
        errors, wrong = compared(rows, pairs)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{path}: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print(f"{len(rows)} pairs of {path.name}")
    for name, largest in errors.items():
        print(f"{name:<28} largest error {largest:.2e} {'ok' if largest <= TOLERANCE else 'PAST'} {TOLERANCE:.0e}")
    print(f"{'amino acid, peptide matches':<28} rows that differ {wrong}")
    times = cost([(query.masses, target.masses) for query, target in pairs])
    plain = times["plain Python"]
    for name, microseconds in times.items():
        print(f"{name:<28} {microseconds:8.2f} microseconds a pair {plain / microseconds:7.1f} x plain Python")
    return int(wrong > 0 or not all(largest <= TOLERANCE for largest in errors.values()))


def compared(rows: list[dict[str, str]], pairs: list[tuple[Peptide, Peptide]]) -> tuple[dict[str, float], int]:
    """Largest errors of PMD and RMD in their units, and the number of rows whose matches differ."""
    if not rows:
        raise ValueError("found no rows")
    pmd, rmd, wrong = [], [], 0
    queries, targets = [query.masses for query, _ in pairs], [target.masses for _, target in pairs]
    batched_pmd, batched_rmd = mass_deviations(queries, targets)
    for row, (query, target), deviation, residues in zip(rows, pairs, batched_pmd, batched_rmd, strict=True):
        expected = np.array(row["rmd_units"].split(), np.float64)
        single = peptide_mass_deviation(query.masses, target.masses)
        pmd += [abs(value - float(row["pmd_units"])) for value in (deviation, single)]
        single_residues = residue_mass_deviations(query.masses, target.masses)
        rmd += [np.abs(values - expected).max() for values in (residues, single_residues)]
        matches = residue_matches(query, target)
        bits = "".join(str(int(bit)) for bit in matches)
        wrong += bits != row["aa_matches"] or str(int(matches.all())) != row["pep_match"]
    return {"peptide mass deviation": float(np.max(pmd)), "residue mass deviation": float(np.max(rmd))}, wrong


def cost(pairs: list[tuple[Masses, Masses]]) -> dict[str, float]:
    """Microseconds per pair for both deviations: batched, pair by pair, and in plain Python."""
    many = [pairs[index % len(pairs)] for index in range(PAIRS)]
    queries, targets = [query for query, _ in many], [target for _, target in many]

    def one_by_one(pmd: Callable[[Masses, Masses], object], rmd: Callable[[Masses, Masses], object]) -> None:
        for query, target in many:
            pmd(query, target)
            rmd(query, target)

    runs = {
        "many pairs at once": lambda: mass_deviations(queries, targets),
        "one pair at a time": lambda: one_by_one(peptide_mass_deviation, residue_mass_deviations),
        "plain Python": lambda: one_by_one(plain_pmd, plain_rmd),
    }
    return {name: 1e6 * time / PAIRS for name, time in seconds(runs, torch.device("cpu"), ROUNDS).items()}


def plain_pmd(query: Masses, target: Masses) -> float:
    """Edit distance without numba or numpy."""
    row = [float(column) for column in range(len(target) + 1)]
    for index, mass in enumerate(query):
        diagonal, row[0] = row[0], index + 1.0
        for column, other in enumerate(target):
            best = min(diagonal + abs(mass - other) / GAP_COST, row[column + 1] + 1, row[column] + 1)
            diagonal, row[column + 1] = row[column + 1], best
    return row[-1]


def plain_rmd(query: Masses, target: Masses) -> list[float]:
    """Deviations from the nearest prefix masses, without numba or numpy."""
    prefixes = list(accumulate(target))
    return [min((mass - prefix for prefix in prefixes), key=abs) / GAP_COST for mass in accumulate(query)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
