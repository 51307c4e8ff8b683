"""Rankings as mzTab and CSV: conformance to the specification, reading by other libraries, safety in spreadsheets."""

import csv
import math
import re
import tracemalloc
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyteomics.mztab import MzTab

from transect.data_adapters.peptide.candidates.read import open_candidates
from transect.data_adapters.peptide.peptide import AMINO_ACID_MASS, PROTON, WATER
from transect.data_adapters.peptide.proforma import parse_peptide
from transect.data_adapters.peptide.ranking import RankedCandidate, RankedSpectrum, Ranking
from transect.data_adapters.peptide.results.rows import modifications_of
from transect.data_adapters.peptide.results.table import harmless
from transect.data_adapters.peptide.results.write import q_values, write_ranking
from transect.data_adapters.peptide.spectrum import Candidate, CandidateSet, Omission, Run, Spectrum

NASTY = '=HYPERLINK("http://x")\twith a tab,\r\na line "and" quotes'
MANDATORY = [
    "sequence",
    "PSM_ID",
    "accession",
    "unique",
    "database",
    "database_version",
    "search_engine",
    "search_engine_score[1]",
    "modifications",
    "retention_time",
    "charge",
    "exp_mass_to_charge",
    "calc_mass_to_charge",
    "spectra_ref",
    "pre",
    "post",
    "start",
    "end",
]
"""Columns of a PSM section, mzTab 1.0 table 5, with the number of scores in the metadata."""


def spectrum(index: int, title: str = "", scan: str = "", problem: str = "", time: float = 60.5) -> Spectrum:
    peaks = np.array([100.0, 200.0])
    return Spectrum(index, scan, title, 500.25, 2, time, peaks, peaks.astype(np.float32), problem=problem)


def ranked(
    index: int, *peptides: str, probability: float = math.nan, fits: bool = True, **about: object
) -> RankedSpectrum:
    made = spectrum(index, **about)
    candidates = [Candidate(parse_peptide(text), ("casanovo", "novo"), (0.5, math.nan), (1, 1)) for text in peptides]
    ranking = [
        RankedCandidate(
            candidate,
            0.9 - 0.1 * place,
            1.5 + place,
            np.linspace(0.5, 1, len(candidate.peptide.residues), dtype=np.float32),
            made.mass_error_ppm(candidate.peptide),
            fits,
        )
        for place, candidate in enumerate(candidates)
    ]
    return RankedSpectrum(CandidateSet(made, tuple(candidates)), tuple(ranking), probability)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., tuple[Path, dict[str, float | str]]]:
    source = tmp_path / "a run.mgf"
    source.write_text("BEGIN IONS\nEND IONS\n")
    (tmp_path / "a run.mzML").write_text('<mzML xmlns="http://psi.hupo.org/ms/mzml"/>')
    count = iter(range(99))

    def written(
        spectra: Iterable[RankedSpectrum], reference: str = "index", top: int = 2, omissions: Iterable[Omission] = ()
    ) -> tuple[Path, dict[str, float | str]]:
        path = source if reference == "index" else source.with_suffix(".mzML")
        run = Run(str(path), reference, ("casanovo", "novo"), lambda: iter(()), omissions=list(omissions))
        run.joined = {"casanovo": "index"}
        folder = tmp_path / f"out{next(count)}"
        folder.mkdir()
        ranking = Ranking(run, iter(spectra), top, 0.05, 20.0)
        return folder, write_ranking(ranking, folder, "reranker 3, of run [abc]")

    return written


def metadata(path: Path) -> dict[str, str]:
    lines = [line.split("\t") for line in path.read_text().splitlines() if line.startswith("MTD")]
    assert all(len(line) == 3 for line in lines)
    assert len({line[1] for line in lines}) == len(lines)
    return {key: value for _, key, value in lines}


def rows(path: Path) -> list[dict[str, str]]:
    text = [line.split("\t") for line in path.read_text().splitlines()]
    [header] = [line for line in text if line[0] == "PSH"]
    return [dict(zip(header, line, strict=True)) for line in text if line[0] == "PSM"]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


ALL_KINDS = [
    ranked(
        0, "[Acetyl]-AC[Carbamidomethyl]DM[Oxidation]K", "PEPTIDE", "AAAA", probability=0.99, title="one", scan="12"
    ),
    ranked(1, "[+25.980265]-QS[+79.966331]N[Deamidated]", probability=0.5, title=NASTY, scan="F1:3", time=math.nan),
    ranked(2, title="+1", problem="no charge"),
    ranked(3, title="a title"),
    ranked(4, "[Ammonia-loss]-QK[+1.5]", probability=0.97, title="null", fits=False),
]


# mzTab


def test_the_mztab_keeps_the_rules_of_the_specification(write):
    folder, _ = write(ALL_KINDS)
    text = (folder / "results.mztab").read_text()
    kinds = [line[:3] for line in text.splitlines() if line]
    assert re.fullmatch(r"(MTD)+PSH(PSM)+", "".join(kinds))
    said = metadata(folder / "results.mztab")
    assert (said["mzTab-version"], said["mzTab-mode"], said["mzTab-type"]) == ("1.0.0", "Summary", "Identification")
    for key in ("description", "ms_run[1]-location", "fixed_mod[1]", "variable_mod[1]", "software[1]"):
        assert said[key]
    parameter = re.compile(r'\[[A-Z]*, ([A-Z]+:[\w+.-]+)?, ([^",\[\]]*|"[^"\[\]]*"), \]')
    for key, value in said.items():
        if re.fullmatch(r"(fixed_mod|variable_mod|software|psm_search_engine_score)\[\d+\]|.*format", key):
            assert parameter.fullmatch(value), value
    location = urlparse(said["ms_run[1]-location"])
    assert Path(unquote(location.path)).read_text().startswith("BEGIN IONS")
    found = rows(folder / "results.mztab")
    scores = [key for key in said if key.startswith("psm_search_engine_score")]
    columns = list(found[0])[1:]
    wanted = [name for name in MANDATORY if name != "search_engine_score[1]"]
    given_scores = [f"search_engine_score[{at}]" for at in range(1, len(scores) + 1)]
    assert [name for name in columns if not name.startswith("opt_")] == [*wanted[:7], *given_scores, *wanted[7:]]
    assert all(re.fullmatch(r"opt_global_[A-Za-z0-9_\[\]:-]+", name) for name in columns[len(MANDATORY) + 2 :])
    assert [row["PSM_ID"] for row in found] == [str(at) for at in range(1, len(found) + 1)]
    for row in found:
        assert all(cell and cell == cell.strip() for cell in row.values())
        assert re.fullmatch("[A-Z]+", row["sequence"])
        assert re.fullmatch(r"ms_run\[1\]:index=\d+", row["spectra_ref"])
        for name in (*given_scores, "retention_time", "exp_mass_to_charge", "calc_mass_to_charge"):
            assert row[name] == "null" or math.isfinite(float(row[name]))
        for one in row["modifications"].split(",") if row["modifications"] != "null" else ():
            place, identifier = re.fullmatch(r"(\d+)-(UNIMOD:\d+|CHEMMOD:[+-][\d.]+)", one).groups()
            assert 0 <= int(place) <= len(row["sequence"])
            assert any(f", {identifier}, " in value for key, value in said.items() if "_mod[" in key)


def test_rows_say_what_the_ranking_says(write):
    folder, _ = write(ALL_KINDS)
    first, second, modified, last = rows(folder / "results.mztab")
    assert first["sequence"] == "ACDMK"
    assert first["modifications"] == "0-UNIMOD:1,2-UNIMOD:4,4-UNIMOD:35"
    column = "opt_global_cv_MS:1003169_proforma_peptidoform_sequence"
    assert first[column] == "[Acetyl]-AC[Carbamidomethyl]DM[Oxidation]K"
    references = [row["spectra_ref"].partition(":")[2] for row in (first, second, modified, last)]
    assert references == ["index=0", "index=0", "index=1", "index=4"]
    assert [row["opt_global_rank"] for row in (first, second, modified, last)] == ["1", "2", "1", "1"]
    assert [row["search_engine_score[1]"] for row in (first, second)] == ["0.9", "0.8"]
    assert [row["search_engine_score[2]"] for row in (first, second)] == ["0.99", "null"]
    assert [row["search_engine_score[3]"] for row in (first, second)] == ["0.01", "null"]
    assert [row["opt_global_margin"] for row in (first, second, last)] == ["0.1", "null", "null"]
    assert first["opt_global_predicted_mass_deviation_da"] == "1.5"
    assert first["opt_global_aa_scores"].split(",") == [
        "0.50000",
        "0.60000",
        "0.70000",
        "0.80000",
        "0.90000",
        "1.00000",
    ]
    assert (first["charge"], first["exp_mass_to_charge"], first["retention_time"]) == ("2", "500.25", "60.5")
    residues = sum(AMINO_ACID_MASS[letter] for letter in "PEPTIDE")
    assert float(second["calc_mass_to_charge"]) == pytest.approx((residues + WATER) / 2 + PROTON, abs=1e-9)
    assert modified["modifications"] == "0-CHEMMOD:+25.980265,2-UNIMOD:21,3-UNIMOD:7"
    assert modified["retention_time"] == "null"
    assert modified["opt_global_title"] == '=HYPERLINK("http://x") with a tab, a line "and" quotes'
    assert modified["opt_global_scan"] == "F1:3"
    assert last["modifications"] == "0-UNIMOD:385,2-CHEMMOD:+1.5"
    assert [row["opt_global_fits_precursor"] for row in (first, last)] == ["1", "0"]
    assert first["opt_global_tools"] == "casanovo,novo"
    said = metadata(folder / "results.mztab")
    assert said["software[1]"] == '[, , "reranker 3, of run (abc)", ]'
    assert "candidates of casanovo joined by index" in said.values()
    assert said["ms_run[1]-format"] == "[MS, MS:1001062, Mascot MGF file, ]"
    assert said["ms_run[1]-id_format"] == "[MS, MS:1000774, multiple peak list nativeID format, ]"


def test_spectra_of_mzml_are_referred_to_by_scan(write):
    spectra = [ranked(3, "PEPTIDE", scan="501"), ranked(4, "PEPTIDE", title="index=4")]
    folder, _ = write(spectra, reference="scan")
    assert [row["spectra_ref"] for row in rows(folder / "results.mztab")] == ["ms_run[1]:scan=501", "ms_run[1]:index=4"]
    said = metadata(folder / "results.mztab")
    assert said["ms_run[1]-format"] == "[MS, MS:1000584, mzML file, ]"
    assert said["ms_run[1]-id_format"] == "[MS, MS:1000776, scan number only nativeID format, ]"


@pytest.mark.parametrize(
    ("peptides", "fixed", "variable"),
    [
        (["PEPTIDE"], ["[MS, MS:1002453, No fixed modifications searched, ]"], ["MS:1002454"]),
        (["AC[Carbamidomethyl]K"], ["[UNIMOD, UNIMOD:4, Carbamidomethyl, ]"], ["MS:1002454"]),
        (["AC[Carbamidomethyl]K", "ACK"], ["MS:1002453"], ["[UNIMOD, UNIMOD:4, Carbamidomethyl, ]"]),
        (["[+25.980265]-AM[Oxidation]K"], ["MS:1002453"], ["[CHEMMOD, CHEMMOD:+25.980265, , ]", "UNIMOD:35"]),
    ],
)
def test_modifications_that_occur_are_declared(write, peptides, fixed, variable):
    folder, _ = write([ranked(at, peptide) for at, peptide in enumerate(peptides)])
    said = metadata(folder / "results.mztab")
    for kind, wanted in (("fixed_mod", fixed), ("variable_mod", variable)):
        values = [value for key, value in said.items() if re.fullmatch(rf"{kind}\[\d+\]", key)]
        assert len(values) == len(wanted)
        assert all(part in value for part, value in zip(wanted, values, strict=True))
    sites = {key: value for key, value in said.items() if key.endswith("-site")}
    assert all(re.fullmatch("[A-Z]|N-term", site) for site in sites.values())


def test_pyteomics_reads_the_mztab(write):
    folder, _ = write(ALL_KINDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = MzTab(str(folder / "results.mztab"))
    assert (read.mode, read.type, read.version) == ("Summary", "Identification", "1.0.0")
    psms = read.spectrum_match_table
    assert psms["sequence"].tolist() == ["ACDMK", "PEPTIDE", "QSN", "QK"]
    assert psms["charge"].astype(int).tolist() == [2] * 4


@pytest.mark.parametrize("reference", ["index", "scan"])
def test_the_mztab_is_read_back_as_candidates(write, reference):
    spectra = [one for one in ALL_KINDS if one.ranking]
    folder, _ = write(spectra, reference=reference, top=9)
    file = open_candidates(str(folder / "results.mztab"))
    found = list(file.rows())
    written = [(one.candidate_set.spectrum, candidate) for one in spectra for candidate in one.ranking]
    assert len(found) == len(written)
    for row, (seen, candidate) in zip(found, written, strict=True):
        assert parse_peptide(row.sequence) == candidate.candidate.peptide
        assert row.score == pytest.approx(candidate.score)
        assert (row.precursor_mz, row.charge) == (seen.precursor_mz, seen.charge)
        by_scan = reference == "scan" and seen.scan.isdecimal()
        assert (row.keys.scan == int(seen.scan)) if by_scan else (row.keys.index in (seen.index, None))


def test_modifications_are_placed_within_the_sequence():
    assert modifications_of(parse_peptide("PEPTIDE")) == ()
    assert modifications_of(parse_peptide("[Acetyl]-M[Oxidation]K[+1.5]")) == (
        (0, "UNIMOD:1", "Acetyl", "N-term"),
        (1, "UNIMOD:35", "Oxidation", "M"),
        (2, "CHEMMOD:+1.5", "", "K"),
    )


# CSV


def test_every_spectrum_has_a_row_and_its_winner(write):
    folder, facts = write(ALL_KINDS)
    found = table(folder / "results.csv")
    assert [row["index"] for row in found] == ["0", "1", "2", "3", "4"]
    assert [row["spectrum_id"] for row in found] == ["scan=12", "index=1", "index=2", "index=3", "index=4"]
    assert [row["sequence"] for row in found] == [
        "[Acetyl]-AC[Carbamidomethyl]DM[Oxidation]K",
        "[+25.980265]-QS[Phospho]N[Deamidated]",
        "",
        "",
        "[Ammonia-loss]-QK[+1.5]",
    ]
    assert [row["problem"] for row in found] == ["", "", "no charge", "no candidate", ""]
    assert [row["score"] for row in found] == ["0.9", "0.9", "", "", "0.9"]
    assert [row["accepted"] for row in found] == ["yes", "no", "", "", "yes"]
    assert [row["fits_precursor"] for row in found] == ["yes", "yes", "", "", "no"]
    assert [row["q_value"] for row in found] == ["0.01", "0.18", "", "", "0.02"]
    assert found[0]["aa_scores"] == "0.50000,0.60000,0.70000,0.80000,0.90000,1.00000"
    assert found[0]["tools"] == "casanovo, novo"
    assert facts == {
        "spectra": 5,
        "answered": 3,
        "accepted": 2,
        "fdr": 0.05,
        "tools": "casanovo, novo",
        "omissions": 0,
    }


def test_proteobench_reads_the_table_as_its_custom_format(write):
    folder, _ = write([ranked(at, "PEPTIDE", scan=str(at + 7)) for at in range(3)])
    frame = pd.read_csv(folder / "results.csv", low_memory=False)
    assert {"spectrum_id", "sequence", "score", "aa_scores"} <= set(frame)
    assert frame["spectrum_id"].str.extract(r"scan=(\d+)")[0].tolist() == ["7", "8", "9"]
    assert frame["score"].dtype == float
    scores = frame["aa_scores"].str.split(",").map(lambda texts: [float(text) for text in texts])
    assert scores.map(len).tolist() == [7, 7, 7]


def test_no_cell_is_a_formula(write):
    omissions = [
        Omission("=a.csv", 3, "index=1", "not a peptide", '@SUM(A1)\n=cmd|"x"'),
        Omission("b", 0, "", "x", "-1"),
    ]
    formulas = ["=1+1", "+1", "-1+1", "@x", " =1", "\t=1", "\n@x"]
    folder, _ = write(
        [ranked(at, "PEPTIDE", title=text, scan=text) for at, text in enumerate(formulas)], omissions=omissions
    )
    for name in ("results.csv", "omitted.csv"):
        for row in table(folder / name):
            for column, cell in row.items():
                assert cell[:1] not in ("=", "@", "+", "\t", "\r"), (column, cell)
                assert cell[:1] != "-" or re.fullmatch(r"-[\d.e+-]+", cell), (column, cell)
    listed = table(folder / "omitted.csv")
    assert listed[0] == {
        "file": "'=a.csv",
        "line": "3",
        "spectrum": "index=1",
        "what": "not a peptide",
        "detail": '\'@SUM(A1) =cmd|"x"',
    }
    assert listed[1]["line"] == ""


@given(st.text("=+-@ \t\n1a"))
def test_harmless_text_is_what_it_was_but_for_an_apostrophe(text):
    made = harmless(text)
    assert made in (text, f"'{text}")
    assert made.lstrip()[:1] not in ("=", "+", "-", "@")


# q-values and complete rankings


def test_q_values_by_hand():
    nan = math.nan
    np.testing.assert_allclose(q_values([0.9, 0.5, nan, 1.0, 0.9]), [0.2 / 3, 0.7 / 4, nan, 0, 0.2 / 3])
    assert q_values([]).shape == (0,)
    assert np.isnan(q_values([nan, nan])).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_q_values_are_the_mean_error_of_all_that_are_as_probable(probabilities):
    p = np.array(probabilities)
    q = q_values(p)
    np.testing.assert_allclose(q, [(1 - p[p >= one]).mean() for one in p], atol=1e-12)
    order = np.argsort(-p, kind="stable")
    assert (np.diff(q[order]) >= -1e-12).all()


def test_without_calibration_nothing_is_accepted_or_refused(write):
    folder, facts = write([ranked(0, "PEPTIDE")])
    assert "accepted" not in facts
    assert [row["accepted"] for row in table(folder / "results.csv")] == [""]
    assert [row["search_engine_score[3]"] for row in rows(folder / "results.mztab")] == ["null"]


def test_a_run_without_spectra_or_answers_is_written(write):
    for spectra in ([], [ranked(0)]):
        folder, facts = write(spectra)
        assert facts["answered"] == 0
        assert rows(folder / "results.mztab") == []
        assert len(table(folder / "results.csv")) == len(spectra)


def test_equal_rankings_make_equal_bytes_and_nothing_else_is_left(write):
    folders = [write(ALL_KINDS)[0] for _ in range(2)]
    for folder in folders:
        assert {path.name for path in folder.iterdir()} == {"results.mztab", "results.csv", "omitted.csv"}
    for name in ("results.mztab", "results.csv", "omitted.csv"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_a_ranking_that_fails_is_not_swallowed(write):
    def failing() -> Iterator[RankedSpectrum]:
        yield ALL_KINDS[0]
        raise RuntimeError("of the model")

    with pytest.raises(RuntimeError, match="of the model"):
        write(failing())


def test_memory_does_not_grow_with_the_spectra(write):
    def peak(count: int) -> int:
        tracemalloc.start()
        write(ranked(at, "PEPTIDE", "PEPTLDE", probability=0.5, title="x" * 500) for at in range(count))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few = peak(50)
    assert peak(1500) < few + 400_000
