"""Validation of a benchmark's input files."""

import argparse
import filecmp
import itertools
from pathlib import Path

from torch import Tensor


def require_distinct(parser: argparse.ArgumentParser, *files: Path) -> None:
    """Exit with a usage error if a file is missing or two files are identical, which would make a comparison void."""
    for file in files:
        if not file.is_file():
            parser.error(f"{file}: no such file")
    for first, second in itertools.combinations(files, 2):
        if filecmp.cmp(first, second, shallow=False):
            parser.error(f"{first} and {second}: found the same content, expected different files to compare")


def require_unseen(parser: argparse.ArgumentParser, source: Path | str, training: Tensor, test: Tensor) -> None:
    """Exit with a usage error if a test example `test[i]` is also a training example."""
    known = {example.numpy().tobytes() for example in training}
    seen = sum(example.numpy().tobytes() in known for example in test)
    if seen:
        parser.error(f"{source}: found {seen} of {len(test)} test examples in the training set, expected none")
