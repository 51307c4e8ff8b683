"""Read candidates from tables without a header: HelixNovo, raw NovoB, SMSNet. `tables` says why pandas is not used."""

import math
import re
from collections.abc import Callable, Iterator
from functools import partial

from transect.data_adapters.peptide.candidates.row import (
    CandidateFile,
    CandidateRow,
    Damaged,
    Keys,
    Tool,
    finite,
    keys_in,
    whole,
)
from transect.data_adapters.peptide.candidates.text import numbered_lines

SAMPLE = 50
"""Lines used to detect the dialect; a majority must match, since any may be malformed."""

_SPELLED = re.compile(r"[A-Z0-9+\-.()\[\]:a-z,> ]+")
_TOKENS = re.compile(r"\s*(?:[A-Za-z]|</?s>|<unk>)(?:\s+(?:[A-Za-z]|</?s>|<unk>))*\s*")
_LIST = re.compile(r"\[['\"]([^'\"]*)['\"]\]")
_BYTES = re.compile(r"b(['\"])(.*)\1")


def headerless_file(path: str, text: str) -> CandidateFile | None:
    """The candidate file `path`, which begins with `text`; None if most lines match no known tool."""
    lines = [line for line in text.split("\n")[:SAMPLE] if line.strip()]
    if _majority(lines, _is_helixnovo):
        return CandidateFile(path, (Tool("helixnovo"),), partial(_helixnovo_rows, path))
    if _majority(lines, _is_novob):
        tool = Tool("novob", fixed_cysteine=True, lower_case=True)
        return CandidateFile(path, (tool,), partial(_novob_rows, path))
    if _majority(lines, _TOKENS.fullmatch):
        tool = Tool("smsnet", fixed_cysteine=True, lower_case=True)
        return CandidateFile(path, (tool,), partial(_smsnet_rows, path))
    return None


def _majority(lines: list[str], matches: Callable[[str], object]) -> bool:
    return 2 * sum(bool(matches(line)) for line in lines) > len(lines)


def _is_helixnovo(line: str) -> bool:
    cells = line.split("\t")
    return len(cells) == 3 and not math.isnan(finite(cells[2])) and bool(_SPELLED.fullmatch(cells[1].strip()))


def _is_novob(line: str) -> bool:
    cells = line.split("\t")
    return len(cells) == 10 and bool(_LIST.match(cells[3]))


def _helixnovo_rows(path: str) -> Iterator[CandidateRow | Damaged]:
    """Parse the columns title, peptide, score."""
    for number, line in numbered_lines(path):
        cells = line.split("\t")
        if len(cells) == 3:
            yield CandidateRow(0, number, keys_in(cells[0]), cells[1].strip(), finite(cells[2]))
        elif line.strip():
            yield Damaged(number, f"{len(cells)} columns instead of 3")


def _novob_rows(path: str) -> Iterator[CandidateRow | Damaged]:
    """Parse the columns: count, charge, mass; peptide, mass error, probability for each decoding direction; scan."""
    for number, line in numbered_lines(path):
        cells = line.split("\t")
        if len(cells) != 10:
            if line.strip():
                yield Damaged(number, f"{len(cells)} columns instead of 10")
            continue
        scan = _BYTES.fullmatch(cells[9].strip())
        keys = keys_in(scan[2] if scan else cells[9])
        for sequence, score in ((cells[3], cells[5]), (cells[6], cells[8])):
            written = _LIST.match(sequence.strip())
            text = written[1] if written else sequence
            yield CandidateRow(0, number, keys, text, finite(score.strip("[]")), charge=whole(cells[1]))


def _smsnet_rows(path: str) -> Iterator[CandidateRow | Damaged]:
    """Parse space-separated tokens; a spectrum is identified only by the line number."""
    for number, line in numbered_lines(path):
        tokens = [token for token in line.split() if token not in ("<s>", "</s>")]
        yield CandidateRow(0, number, Keys(index=number - 1), "".join(tokens))
