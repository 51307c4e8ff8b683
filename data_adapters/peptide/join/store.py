"""Join spectra with the candidates of all tools by key, never by position."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.candidates.row import CandidateFile, Damaged
from transect.data_adapters.peptide.config import ReadConfig
from transect.data_adapters.peptide.join.database import RowDatabase, StoredRow
from transect.data_adapters.peptide.join.keys import WAYS, Evidence, Way, mass_agrees, names_of, precursor_agrees
from transect.data_adapters.peptide.join.shift import ShiftDetector
from transect.data_adapters.peptide.peptide import AMINO_ACID_MASS, REFERENCE_MASS, Peptide
from transect.data_adapters.peptide.proforma import UnknownResidue, parse_peptide
from transect.data_adapters.peptide.spectrum import LISTED, OMISSIONS, Candidate, CandidateSet, Omission, Run, Spectrum

SAMPLE = 2000
"""Number of usable spectra that are sampled to decide how each tool's rows are joined."""
ENOUGH = 20
"""Minimum number of rows of each tool in the sample, which is extended if necessary."""

_UNSEEN, _SEEN, _REFUSED = range(3)


class CandidateStore:
    """Joins the rows of candidate files with a stream of spectra.

    Fills `run.omissions`, `run.counts` and `run.joined`.

    Args:
        run: The run, whose `source` is the spectra file.
        files: The candidate files.
        config: How they are read.

    Raises:
        BadInput: a candidate file is damaged, or has rows of several spectra files but none of this one.
    """

    def __init__(self, run: Run, files: Sequence[CandidateFile], config: ReadConfig) -> None:
        self._run, self._config = run, config
        self._tools = [tool for file in files for tool in file.tools]
        self._paths = [file.path for file in files for _ in file.tools]
        run.counts.update({"spectra": 0, "rows": 0} | dict.fromkeys(OMISSIONS, 0))
        self._rows = RowDatabase(files, run.source, self._damaged)
        run.counts["rows"] = self._rows.counts.total()
        if self._rows.elsewhere:
            run.counts["rows of other files of spectra"] = self._rows.elsewhere
        self._states = bytearray(self._rows.size)
        self._refused: dict[int, Omission] = {}
        self._ways: list[Way] = []
        self._shift_detectors = [ShiftDetector(max(config.isotopes, 1)) for _ in self._tools]

    def __enter__(self) -> "CandidateStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()

    def resolve(self, spectra: Iterable[Spectrum]) -> None:
        """Decide how each tool's rows are joined, from the first `spectra` of the file; peaks are not used.

        Raises:
            BadInput: a tool's rows refer to no spectrum of the file, or do not fit the spectra that they refer to.
        """
        counts = [self._rows.counts[index] for index in range(len(self._tools))]
        evidence = [Evidence(with_precursor=index in self._rows.with_precursor) for index in range(len(self._tools))]
        sampled = 0
        for spectrum in spectra:
            if spectrum.problem:
                continue
            names = names_of(spectrum)
            for way in WAYS:
                # The first row of each tool.
                rows = {row.tool: row for row in reversed(self._rows.where(way[0], names[way[1]]))}
                for index, row in rows.items():
                    evidence[index].add(way, self._fits(spectrum, row))
            sampled += 1
            joined = [max(statistics.joined.values(), default=0) for statistics in evidence]
            if sampled >= SAMPLE and all(
                rows >= min(ENOUGH, count) for rows, count in zip(joined, counts, strict=True)
            ):
                break
        for tool, path, count, statistics in zip(self._tools, self._paths, counts, evidence, strict=True):
            way, reason = next(iter(WAYS)), "no key: there is nothing to join"
            if count and sampled:
                way, reason = statistics.decide(path, tool.name, self._run.source)
            self._ways.append(way)
            self._run.joined[tool.name] = reason

    def candidate_set(self, spectrum: Spectrum) -> CandidateSet:
        """Join a spectrum with its distinct candidates; if it is unusable, record an omission and return none.

        Raises:
            BadInput: the rows of a tool are shifted against the spectra.
        """
        self._run.counts["spectra"] += 1
        if spectrum.problem:
            rows = self._skip_rows(spectrum)
            detail = f"{spectrum.problem}; {rows} candidates not used" if rows else spectrum.problem
            self._record("spectrum skipped", detail, spectrum)
            return CandidateSet(spectrum, ())
        proposals: dict[str, list[tuple[StoredRow, Peptide, int]]] = defaultdict(list)
        joined = self._joined(spectrum)
        for tool in range(len(self._tools)):
            proposed = list(self._proposed(spectrum, joined.get(tool, [])))
            if tool not in self._rows.with_precursor:
                problem = self._shift_detectors[tool].add(spectrum, proposed[0][1].mass if proposed else None)
                self._refuse_shifted(tool, problem)
            for row, peptide, rank in proposed:
                proposals[peptide.merged].append((row, peptide, rank))
        return CandidateSet(spectrum, tuple(self._candidate(spectrum, found) for found in proposals.values()))

    def finish(self) -> None:
        """Record the rows without a spectrum, after all spectra of the file.

        Raises:
            BadInput: the last rows of a tool are shifted against the spectra.
        """
        for tool, detector in enumerate(self._shift_detectors):
            self._refuse_shifted(tool, detector.judge())
        for row, keys in self._rows.all():
            if self._states[row.number] == _REFUSED:
                self._run.omit("precursor disagrees", self._refused.get(row.number))
            elif self._states[row.number] == _UNSEEN:
                key = self._ways[row.tool][0]
                self._record("no such spectrum", f"{key} {keys[key]}", row=row)

    def _skip_rows(self, spectrum: Spectrum) -> int:
        """Mark the rows of an unusable spectrum as seen and return their number."""
        rows = [row for found in self._joined(spectrum).values() for row in found]
        for row in rows:
            self._states[row.number] = _SEEN
        return len(rows)

    def _joined(self, spectrum: Spectrum) -> dict[int, list[StoredRow]]:
        """The rows of each tool that refer to the spectrum, best first."""
        by_tool: dict[int, list[StoredRow]] = defaultdict(list)
        names = names_of(spectrum)
        for way in dict.fromkeys(self._ways):
            for row in self._rows.where(way[0], names[way[1]]):
                if self._ways[row.tool] == way:
                    by_tool[row.tool].append(row)
        for rows in by_tool.values():
            rows.sort(key=lambda row: (row.rank, math.inf if math.isnan(row.score) else -row.score))
        return by_tool

    def _fits(self, spectrum: Spectrum, row: StoredRow) -> bool | None:
        """Whether a row fits the spectrum that it would be joined with; None if it cannot be decided."""
        if not precursor_agrees(spectrum, row.precursor_mz, row.charge):
            return False
        if not math.isnan(row.precursor_mz):
            return True
        try:
            return mass_agrees(spectrum, self._parsed(row), max(self._config.isotopes, 1))
        except ValueError:
            return None

    def _parsed(self, row: StoredRow) -> Peptide:
        tool = self._tools[row.tool]
        return parse_peptide(row.sequence, fixed_cysteine=tool.fixed_cysteine, lower_case=tool.lower_case)

    def _proposed(self, spectrum: Spectrum, rows: list[StoredRow]) -> Iterator[tuple[StoredRow, Peptide, int]]:
        """The distinct peptides of a tool's rows for the spectrum, with their ranks."""
        seen: set[str] = set()
        rank = 0
        for row in rows:
            if not precursor_agrees(spectrum, row.precursor_mz, row.charge):
                self._refuse(spectrum, row)
                continue
            self._states[row.number] = _SEEN
            if rank == self._config.top:
                continue
            try:
                peptide = self._parsed(row)
            except ValueError as error:
                rank += 1
                what = "unknown residue" if isinstance(error, UnknownResidue) else "not a peptide"
                self._record(what, f"{row.sequence[:100]}: {error}"[:300], spectrum, row)
                continue
            if peptide.merged not in seen:
                seen.add(peptide.merged)
                rank += 1
                yield row, peptide, rank

    def _candidate(self, spectrum: Spectrum, proposals: list[tuple[StoredRow, Peptide, int]]) -> Candidate:
        row, peptide, _ = proposals[0]
        error = spectrum.mass_error_ppm(peptide, self._config.isotopes)
        if abs(error) > self._config.precursor_tolerance_ppm:
            self._record("mass disagrees", f"{peptide.proforma}: {error:+.1f} ppm", spectrum, row)
        unusual = [
            residue for residue in peptide.residues if residue not in AMINO_ACID_MASS and residue not in REFERENCE_MASS
        ]
        if unusual:
            self._record("unusual residue", f"{peptide.proforma}: {', '.join(unusual)}", spectrum, row)
        return Candidate(
            peptide=peptide,
            tools=tuple(self._tools[row.tool].name for row, _, _ in proposals),
            scores=tuple(row.score for row, _, _ in proposals),
            ranks=tuple(rank for _, _, rank in proposals),
        )

    def _refuse(self, spectrum: Spectrum, row: StoredRow) -> None:
        """Note that a row has another precursor; it may still match a later spectrum with the same key."""
        if self._states[row.number] == _UNSEEN:
            self._states[row.number] = _REFUSED
            if len(self._refused) < LISTED:
                stated = f"m/z {row.precursor_mz:.4f} and charge {row.charge or '?'}"
                detail = f"{stated} instead of {spectrum.precursor_mz:.4f} and {spectrum.charge}"
                self._refused[row.number] = self._omission("precursor disagrees", detail, spectrum, row)

    def _refuse_shifted(self, tool: int, problem: str) -> None:
        if problem:
            advice = "the tool lost or added a spectrum there: make its candidates again"
            path, name = self._paths[tool], self._tools[tool].name
            raise BadInput(path, f"spectra of {name}", problem, "rows that belong to the spectra they name", advice)

    def _damaged(self, path: str, damaged: Damaged) -> None:
        self._run.omit("not a peptide", Omission(path, damaged.line, "", "not a peptide", damaged.detail))

    def _record(self, what: str, detail: str, spectrum: Spectrum | None = None, row: StoredRow | None = None) -> None:
        self._run.omit(what, self._omission(what, detail, spectrum, row) if self._run.lists else None)

    def _omission(self, what: str, detail: str, spectrum: Spectrum | None, row: StoredRow | None) -> Omission:
        named = self._run.named(spectrum) if spectrum else ""
        if row:
            return Omission(self._paths[row.tool], row.line, named, what, f"{self._tools[row.tool].name}: {detail}")
        return Omission(self._run.source, 0, named, what, detail)
