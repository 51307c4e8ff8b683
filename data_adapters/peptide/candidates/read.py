"""Open candidate files of any dialect, detected from their content."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.candidates.headerless import headerless_file
from transect.data_adapters.peptide.candidates.json_lists import json_file
from transect.data_adapters.peptide.candidates.mztab import is_mztab, mztab_file
from transect.data_adapters.peptide.candidates.row import CandidateFile
from transect.data_adapters.peptide.candidates.tables import DIALECTS, table_file
from transect.data_adapters.peptide.candidates.text import head

MZTAB_TOOLS = ("contranovo", "adanovo", "casanovo")
"""Tools that are recognized by file name, because forks write the name of the original tool into their mzTab."""


def open_candidates(path: str) -> CandidateFile:
    """Detect the dialect of a candidate file.

    Raises:
        BadInput: the file cannot be read, or its dialect is unknown.
    """
    text, name = head(path), Path(path).name.lower()
    if not text.strip():
        raise BadInput(path, "content", "nothing", "candidates of a de novo tool")
    if is_mztab(text):
        return mztab_file(path, text, next((tool for tool in MZTAB_TOOLS if tool in name), ""))
    file = json_file(path, text) or table_file(path, text, name) or headerless_file(path, text)
    if file is None:
        tools = ", ".join(sorted({dialect.tool for dialect in DIALECTS} - {"custom"}))
        raise BadInput(
            path,
            "dialect",
            f"a file that begins with {text.strip()[:60]!r}",
            f"mzTab, a table of {tools}, helixnovo or ProteoBench's spectrum_id,sequence,score, or JSON",
        )
    return file


def open_all(paths: Sequence[str]) -> list[CandidateFile]:
    """Open candidate files and make tool names unique: a second casanovo becomes casanovo_2.

    Raises:
        BadInput: a file cannot be read, or its dialect is unknown.
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
