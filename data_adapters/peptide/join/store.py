"""Spectra joined with the candidates that tools propose for them: by key, never by position."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.candidates.row import CandidateFile, Damaged
from transect.data_adapters.peptide.config import ReadConfig
from transect.data_adapters.peptide.join.database import RowDatabase, StoredRow
from transect.data_adapters.peptide.join.keys import WAYS, Evidence, Way, mass_agrees, names_of, precursor_agrees
from transect.data_adapters.peptide.join.shift import ShiftWatch
from transect.data_adapters.peptide.peptide import AMINO_ACID_MASS, REFERENCE_MASS, Peptide
from transect.data_adapters.peptide.proforma import UnknownResidue, parse_peptide
from transect.data_adapters.peptide.spectrum import LISTED, OMISSIONS, Candidate, CandidateSet, Omission, Run, Spectrum

SAMPLE = 2000
"""Usable spectra that decide how each tool's rows are joined."""
ENOUGH = 20
"""Rows of a tool that the sample must hold, if need be by going on."""

_UNSEEN, _SEEN, _REFUSED = range(3)


class CandidateStore:
    """The rows of candidate files, joined with one spectrum after the other.

    What is left out and how rows are matched goes into `run.omissions`, `run.counts` and `run.joined`.

    Args:
        run: The run, whose `source` is the file of spectra.
        files: The candidate files.
        config: How to read them.

    Raises:
        BadInput: a candidate file is damaged as a whole, or holds rows of several files of spectra, none this one.
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
        self._watches = [ShiftWatch(max(config.isotopes, 1)) for _ in self._tools]

    def __enter__(self) -> "CandidateStore":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._rows.close()

    def resolve(self, spectra: Iterable[Spectrum]) -> None:
        """Decide how each tool's rows are joined, on the first `spectra` of the file, of which no peaks are wanted.

        Raises:
            BadInput: a tool's rows name no spectrum of the file, or do not fit the spectra that they name.
        """
        counts = [self._rows.counts[tool] for tool in range(len(self._tools))]
        evidence = [Evidence(told=tool in self._rows.told) for tool in range(len(self._tools))]
        sampled = 0
        for spectrum in spectra:
            if spectrum.problem:
                continue
            names = names_of(spectrum)
            for way in WAYS:
                # The first row of each tool.
                rows = {row.tool: row for row in reversed(self._rows.where(way[0], names[way[1]]))}
                for tool, row in rows.items():
                    evidence[tool].add(way, self._fits(spectrum, row))
            sampled += 1
            joined = [max(found.joined.values(), default=0) for found in evidence]
            if sampled >= SAMPLE and all(
                rows >= min(ENOUGH, count) for rows, count in zip(joined, counts, strict=True)
            ):
                break
        for one, path, count, found in zip(self._tools, self._paths, counts, evidence, strict=True):
            way, reason = next(iter(WAYS)), "no key: there is nothing to join"
            if count and sampled:
                way, reason = found.decide(path, one.name, self._run.source)
            self._ways.append(way)
            self._run.joined[one.name] = reason

    def candidate_set(self, spectrum: Spectrum) -> CandidateSet:
        """The spectrum with its distinct candidates; none, and an omission, where it cannot be used.

        Raises:
            BadInput: the rows of a tool have ceased to belong to the spectra that they name.
        """
        self._run.counts["spectra"] += 1
        if spectrum.problem:
            rows = self._pass_over(spectrum)
            detail = f"{spectrum.problem}; {rows} candidates not used" if rows else spectrum.problem
            self._record("spectrum skipped", detail, spectrum)
            return CandidateSet(spectrum, ())
        proposals: dict[str, list[tuple[StoredRow, Peptide, int]]] = defaultdict(list)
        joined = self._joined(spectrum)
        for tool in range(len(self._tools)):
            proposed = list(self._proposed(spectrum, joined.get(tool, [])))
            if tool not in self._rows.told:
                problem = self._watches[tool].add(spectrum, proposed[0][1].mass if proposed else None)
                self._refuse_shifted(tool, problem)
            for row, peptide, rank in proposed:
                proposals[peptide.merged].append((row, peptide, rank))
        return CandidateSet(spectrum, tuple(self._candidate(spectrum, found) for found in proposals.values()))

    def finish(self) -> None:
        """Record the rows that no spectrum took, when all spectra of the file were passed.

        Raises:
            BadInput: as `candidate_set`, for the last spectra.
        """
        for tool, watch in enumerate(self._watches):
            self._refuse_shifted(tool, watch.judge())
        for row, keys in self._rows.all():
            if self._states[row.number] == _REFUSED:
                self._run.omit("precursor disagrees", self._refused.get(row.number))
            elif self._states[row.number] == _UNSEEN:
                key = self._ways[row.tool][0]
                self._record("no such spectrum", f"{key} {keys[key]}", row=row)

    def _pass_over(self, spectrum: Spectrum) -> int:
        """Take the rows of a spectrum that cannot be used as seen; returns how many they are."""
        rows = [row for found in self._joined(spectrum).values() for row in found]
        for row in rows:
            self._states[row.number] = _SEEN
        return len(rows)

    def _joined(self, spectrum: Spectrum) -> dict[int, list[StoredRow]]:
        """The rows of each tool that name the spectrum, best first."""
        found: dict[int, list[StoredRow]] = defaultdict(list)
        names = names_of(spectrum)
        for way in dict.fromkeys(self._ways):
            for row in self._rows.where(way[0], names[way[1]]):
                if self._ways[row.tool] == way:
                    found[row.tool].append(row)
        for rows in found.values():
            rows.sort(key=lambda row: (row.rank, math.inf if math.isnan(row.score) else -row.score))
        return found

    def _fits(self, spectrum: Spectrum, row: StoredRow) -> bool | None:
        """Whether a row fits the spectrum that it would be joined with, None where it cannot tell."""
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
        """The distinct peptides among a tool's rows for the spectrum, each with its rank."""
        met: set[str] = set()
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
            if peptide.merged not in met:
                met.add(peptide.merged)
                rank += 1
                yield row, peptide, rank

    def _candidate(self, spectrum: Spectrum, found: list[tuple[StoredRow, Peptide, int]]) -> Candidate:
        row, peptide, _ = found[0]
        error = spectrum.mass_error_ppm(peptide, self._config.isotopes)
        if abs(error) > self._config.precursor_tolerance_ppm:
            self._record("mass disagrees", f"{peptide.proforma}: {error:+.1f} ppm", spectrum, row)
        unusual = [one for one in peptide.residues if one not in AMINO_ACID_MASS and one not in REFERENCE_MASS]
        if unusual:
            self._record("unusual residue", f"{peptide.proforma}: {', '.join(unusual)}", spectrum, row)
        return Candidate(
            peptide=peptide,
            tools=tuple(self._tools[row.tool].name for row, _, _ in found),
            scores=tuple(row.score for row, _, _ in found),
            ranks=tuple(rank for _, _, rank in found),
        )

    def _refuse(self, spectrum: Spectrum, row: StoredRow) -> None:
        """Note that a row tells another precursor, unless it turns out to belong to a spectrum of the same name."""
        if self._states[row.number] == _UNSEEN:
            self._states[row.number] = _REFUSED
            if len(self._refused) < LISTED:
                told = f"m/z {row.precursor_mz:.4f} and charge {row.charge or '?'}"
                detail = f"{told} instead of {spectrum.precursor_mz:.4f} and {spectrum.charge}"
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
