"""A row of a candidate file, and what it says about the spectrum that it belongs to."""

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
    """Which spectrum a row names, in every way that it does.

    `index` and `scan` are numbers that the row calls so, `number` one that it gives no name, each None where it has
    none. `title` is the text as a whole, `run` the name of the file of spectra without its suffix.
    """

    index: int | None = None
    scan: int | None = None
    number: int | None = None
    title: str = ""
    run: str = ""


class CandidateRow(NamedTuple):
    """A peptide that a tool proposes for a spectrum, as it is written.

    `tool` is the place of the tool among those of its file, `line` that of the row (from 1, 0 where lines have no
    meaning), `rank` its place among the tool's candidates for the spectrum (0 where the file does not say), `score`
    the tool's own (NaN for none), higher is better. `precursor_mz` (Th) and `charge` are those that the row tells for
    its spectrum, NaN and 0 for none.
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
    """A row that cannot be read, and why."""

    line: int
    detail: str


@dataclass(frozen=True)
class Tool:
    """A tool and how it spells: see `parse_peptide`."""

    name: str
    fixed_cysteine: bool = False
    lower_case: bool = False


@dataclass(frozen=True)
class CandidateFile:
    """A candidate file of a known dialect: its tools, and its rows, read anew by each call of `rows`."""

    path: str
    tools: tuple[Tool, ...]
    rows: Callable[[], Iterator[CandidateRow | Damaged]]


def keys_in(text: str, bare: str = "number") -> Keys:
    """The keys that `text` holds: `index=7`, `scan=7`, `run.7.7.2`, or a last number, which is called `bare`."""
    text = text.strip()
    if text.isdecimal() and len(text) < 16:
        return _bare(int(text), bare, text)
    index, scan = _INDEX.search(text), _SCAN.search(text)
    if index or scan:
        return Keys(int(index[1]) if index else None, int(scan[1] or scan[2]) if scan else None, title=text)
    last = _LAST.search(text)
    return _bare(int(last[1]), bare, text) if last else Keys(title=text)


def _bare(value: int, name: str, title: str) -> Keys:
    index, scan, number = (value if name == one else None for one in ("index", "scan", "number"))
    return Keys(index, scan, number, title)


def scan_number(spectrum: Spectrum) -> int | None:
    """The scan number of a spectrum, from what it calls so or else from its title."""
    keys = keys_in(spectrum.scan or spectrum.title, "scan")
    return keys.scan


@lru_cache(maxsize=1 << 10)
def run_name(location: str) -> str:
    """The name of a file of spectra without its folder and suffix, in lower case, from its path or URL."""
    name = PurePosixPath(unquote(location.strip()).replace("\\", "/")).name.lower().removesuffix(".gz")
    return _SUFFIX.sub("", name)


def finite(text: str) -> float:
    """The number that `text` is, also with a decimal comma; NaN where it is none or not finite."""
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
    """The charge that `text` is, 0 where it is none."""
    value = finite(text.rstrip("+"))
    return int(value) if 0 < value < 1000 else 0
