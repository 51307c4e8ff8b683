"""Candidate files of every dialect, told from their content."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.candidates.headerless import plain_file
from transect.data_adapters.peptide.candidates.json_lists import json_file
from transect.data_adapters.peptide.candidates.mztab import is_mztab, mztab_file
from transect.data_adapters.peptide.candidates.row import CandidateFile
from transect.data_adapters.peptide.candidates.tables import DIALECTS, table_file
from transect.data_adapters.peptide.candidates.text import head

MZTAB_TOOLS = ("contranovo", "adanovo", "casanovo")
"""Tools of which the file's name may tell what its mzTab does not: forks write the name of what they forked."""


def open_candidates(path: str) -> CandidateFile:
    """The tools and rows of a candidate file.

    Raises:
        BadInput: the file cannot be read, or is of no dialect that is known.
    """
    text, name = head(path), Path(path).name.lower()
    if not text.strip():
        raise BadInput(path, "content", "nothing", "candidates of a de novo tool")
    if is_mztab(text):
        return mztab_file(path, text, next((tool for tool in MZTAB_TOOLS if tool in name), ""))
    found = json_file(path, text) or table_file(path, text, name) or plain_file(path, text)
    if found is None:
        tools = ", ".join(sorted({dialect.tool for dialect in DIALECTS} - {"custom"}))
        raise BadInput(
            path,
            "dialect",
            f"a file that begins with {text.strip()[:60]!r}",
            f"mzTab, a table of {tools}, helixnovo or ProteoBench's spectrum_id,sequence,score, or JSON",
        )
    return found


def open_all(paths: Sequence[str]) -> list[CandidateFile]:
    """The candidate files, each tool with a name of its own: a second casanovo is casanovo_2.

    Raises:
        BadInput: a file cannot be read, or is of no dialect that is known.
    """
    taken: set[str] = set()
    files = []
    for path in paths:
        file = open_candidates(path)
        tools = []
        for tool in file.tools:
            name, count = tool.name, 2
            while name in taken:
                name, count = f"{tool.name}_{count}", count + 1
            taken.add(name)
            tools.append(replace(tool, name=name))
        files.append(replace(file, tools=tuple(tools)))
    return files
