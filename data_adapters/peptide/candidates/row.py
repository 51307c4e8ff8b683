"""Data structures of candidate files: rows, spectrum keys and tools."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from transect.data_adapters.peptide.spectrum import Spectrum

_INDEX = re.compile(r"\bindex=([0-9]{1,15})")
_SCAN = re.compile(r"\bscan=([0-9]{1,15})|\.([0-9]{1,15})\.\2\.[0-9]*(?:\s|\Z)")
_LAST = re.compile(r"([0-9]{1,15})(?:-[0-9]+)?\W*\Z")
_SUFFIX = re.compile(r"\.(?:mgf|mzml|mzxml|raw|d|wiff|mzmlb|ms2|csv|tsv|ipc|parquet)\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Keys:
    """All references of a row to its spectrum.

    Args:
        index: Number labelled as index, or None.
        scan: Number labelled as scan, or None.
        number: Unlabelled number, or None.
        title: The complete text.
        run: Stem of the spectra file.
    """

    index: int | None = None
    scan: int | None = None
    number: int | None = None
    title: str = ""
    run: str = ""


class CandidateRow(NamedTuple):
    """A peptide that a tool proposes for a spectrum, unparsed.

    Args:
        tool: Index of the tool in its file.
        line: Line number from 1, or 0 for files without lines.
        keys: References to the spectrum.
        sequence: The peptide in the tool's notation.
        score: The tool's score, higher is better, NaN for none.
        rank: Rank among the tool's candidates for the spectrum, 0 if not given.
        precursor_mz: Precursor m/z in the row, Th, NaN for none.
        charge: Precursor charge in the row, 0 for none.
    """

    tool: int
    line: int
    keys: Keys
    sequence: str
    score: float = math.nan
    rank: int = 0
    precursor_mz: float = math.nan
    charge: int = 0


class Damaged(NamedTuple):
    """A malformed row, with the reason."""

    line: int
    detail: str


@dataclass(frozen=True)
class Tool:
    """A tool and its notation; see `parse_peptide`."""

    name: str
    fixed_cysteine: bool = False
    lower_case: bool = False


@dataclass(frozen=True)
class CandidateFile:
    """A candidate file of a known dialect; each call of `rows` reads the file again."""

    path: str
    tools: tuple[Tool, ...]
    rows: Callable[[], Iterator[CandidateRow | Damaged]]


def keys_in(text: str, bare: str = "number") -> Keys:
    """Parse spectrum references: `index=7`, `scan=7`, `run.7.7.2`, or a final number, which is a `bare` key."""
    text = text.strip()
    if text.isdecimal() and len(text) < 16:
        return _bare(int(text), bare, text)
    index, scan = _INDEX.search(text), _SCAN.search(text)
    if index or scan:
        return Keys(int(index[1]) if index else None, int(scan[1] or scan[2]) if scan else None, title=text)
    last = _LAST.search(text)
    return _bare(int(last[1]), bare, text) if last else Keys(title=text)


def _bare(value: int, name: str, title: str) -> Keys:
    index, scan, number = (value if name == key else None for key in ("index", "scan", "number"))
    return Keys(index, scan, number, title)


def scan_number(spectrum: Spectrum) -> int | None:
    """The scan number of a spectrum, or else the one in its title."""
    keys = keys_in(spectrum.scan or spectrum.title, "scan")
    return keys.scan


@lru_cache(maxsize=1 << 10)
def run_name(location: str) -> str:
    """The stem of a spectra file in lower case, from its path or URL."""
    name = PurePosixPath(unquote(location.strip()).replace("\\", "/")).name.lower().removesuffix(".gz")
    return _SUFFIX.sub("", name)


def finite(text: str) -> float:
    """Parse a number, also with a decimal comma; NaN if it is invalid or not finite."""
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        try:
            value = float(text.replace(",", ".", 1))
        except ValueError:
            return math.nan
    return value if math.isfinite(value) else math.nan


def whole(text: str) -> int:
    """Parse a charge; 0 if it is invalid."""
    value = finite(text.rstrip("+"))
    return int(value) if 0 < value < 1000 else 0
