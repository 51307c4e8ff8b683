"""Index the rows of candidate files by spectrum key in a temporary SQLite database.

SQLite rather than a pandas join, because memory must not grow with the files. The database disappears with the process,
even if that is killed: SQLite unlinks an unnamed database as soon as it is opened.
"""

import math
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.candidates.row import CandidateFile, CandidateRow, Damaged, run_name

KEYS = ("title", "scan", "index", "number")
_BATCH = 1000


class StoredRow(NamedTuple):
    """A stored row: `number` is its index from 0, `tool` the index of the tool among those of all files."""

    number: int
    tool: int
    line: int
    sequence: str
    score: float
    rank: int
    precursor_mz: float
    charge: int


class RowDatabase:
    """The rows of all candidate files of a run.

    `counts` is the number of rows of each tool, `with_precursor` the tools whose rows have a precursor m/z, `elsewhere`
    the number of excluded rows that refer to other spectra files.

    Args:
        files: The candidate files.
        source: The spectra file.
        damaged: Called with the file path and each malformed row.

    Raises:
        BadInput: a file is damaged, or has rows of several spectra files but none of `source`.
    """

    def __init__(self, files: Sequence[CandidateFile], source: str, damaged: Callable[[str, Damaged], None]) -> None:
        self.elsewhere = 0
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        try:
            self._database.execute("PRAGMA journal_mode = OFF")
            self._database.execute("PRAGMA cache_size = -65536")
            self._database.execute(
                "CREATE TABLE rows (id INTEGER PRIMARY KEY, tool INTEGER, line INTEGER, sequence TEXT, score REAL,"
                ' rank INTEGER, mz REAL, charge INTEGER, title TEXT, scan INTEGER, "index" INTEGER, number INTEGER,'
                " run TEXT)"
            )
            self._load(files, damaged)
            first = 0
            for file in files:
                for tool in range(first, first + len(file.tools)):
                    self._keep_run(tool, file.path, run_name(source))
                first += len(file.tools)
            self._columns = {key for key in KEYS if self._indexed(key)}
            self.size = self._scalar("SELECT COALESCE(MAX(id), -1) + 1 FROM rows")
            self.counts: Counter[int] = Counter()
            self.with_precursor: set[int] = set()
            for tool, count, known in self._database.execute(
                "SELECT tool, COUNT(*), COUNT(mz) FROM rows GROUP BY tool"
            ):
                self.counts[tool] = count
                if 2 * known > count:
                    self.with_precursor.add(tool)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the database, which deletes it."""
        self._database.close()

    def where(self, key: str, value: int | str | None) -> list[StoredRow]:
        """The rows with that value of `key`, in the order of the files; empty for None."""
        if value is None or key not in self._columns:
            return []
        rows = self._database.execute(
            f'SELECT id, tool, line, sequence, score, rank, mz, charge FROM rows WHERE "{key}" = ? ORDER BY id',
            (value,),
        )
        return [_row(values) for values in rows]

    def all(self) -> Iterator[tuple[StoredRow, dict[str, int | str | None]]]:
        """All rows with their keys, in the order of the files."""
        columns = ", ".join(f'"{key}"' for key in KEYS)
        for values in self._database.execute(
            f"SELECT id, tool, line, sequence, score, rank, mz, charge, {columns} FROM rows ORDER BY id"
        ):
            yield _row(values[:8]), dict(zip(KEYS, values[8:], strict=True))

    def _load(self, files: Sequence[CandidateFile], damaged: Callable[[str, Damaged], None]) -> None:
        def values() -> Iterator[tuple[object, ...]]:
            first = 0
            for file in files:
                for row in file.rows():
                    if isinstance(row, Damaged):
                        damaged(file.path, row)
                    else:
                        yield _values(row, first)
                first += len(file.tools)

        rows = enumerate(values())
        while batch := [(number, *row) for number, row in islice(rows, _BATCH)]:
            self._database.execute("BEGIN")
            self._database.executemany(f"INSERT INTO rows VALUES ({', '.join('?' * 13)})", batch)
            self._database.execute("COMMIT")

    def _keep_run(self, tool: int, path: str, wanted: str) -> None:
        """Delete the rows of other spectra files, if a tool has rows of several."""
        counts: defaultdict[str, int] = defaultdict(int)
        for run, count in self._database.execute(
            "SELECT run, COUNT(*) FROM rows WHERE tool = ? AND run <> '' GROUP BY run", (tool,)
        ):
            counts[run] = count
        if len(counts) < 2:
            return
        if wanted not in counts:
            names = ", ".join(sorted(counts)[:10])
            raise BadInput(path, "files of spectra", names, wanted, "give the rows of this file in a file of their own")
        self.elsewhere += sum(counts.values()) - counts[wanted]
        self._database.execute("DELETE FROM rows WHERE tool = ? AND run NOT IN (?, '')", (tool, wanted))

    def _indexed(self, key: str) -> bool:
        if not self._scalar(f'SELECT EXISTS (SELECT 1 FROM rows WHERE "{key}" IS NOT NULL)'):
            return False
        self._database.execute(f'CREATE INDEX by_{key} ON rows ("{key}") WHERE "{key}" IS NOT NULL')
        return True

    def _scalar(self, query: str) -> int:
        value: int = self._database.execute(query).fetchone()[0]
        return value


def _values(row: CandidateRow, first_tool: int) -> tuple[object, ...]:
    keys = row.keys
    return (
        first_tool + row.tool,
        row.line,
        row.sequence,
        row.score,
        row.rank,
        row.precursor_mz,
        row.charge,
        keys.title or None,
        keys.scan,
        keys.index,
        keys.number,
        keys.run,
    )


def _row(values: tuple[int, int, int, str, float | None, int, float | None, int]) -> StoredRow:
    """Convert a result row; SQLite stores NaN as NULL."""
    number, tool, line, sequence, score, rank, mz, charge = values
    score, mz = (math.nan if value is None else value for value in (score, mz))
    return StoredRow(number, tool, line, sequence, score, rank, mz, charge)
