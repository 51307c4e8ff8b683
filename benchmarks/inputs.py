"""Checks of a benchmark's input files, before anything is measured on them."""

import argparse
import filecmp
import itertools
from pathlib import Path


def require_distinct(parser: argparse.ArgumentParser, *files: Path) -> None:
    """Exit with the parser's usage when a file is missing or two have the same bytes: nothing would be compared."""
    for file in files:
        if not file.is_file():
            parser.error(f"{file}: no such file")
    for first, second in itertools.combinations(files, 2):
        if filecmp.cmp(first, second, shallow=False):
            parser.error(f"{first} and {second}: found the same content, expected different files to compare")
