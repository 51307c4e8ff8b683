"""Candidates are joined with their spectrum for every kind of key, or the run is refused."""

import math
import random
import re
import shutil
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.candidates.read import open_candidates
from transect.data_adapters.peptide.config import ReadConfig
from transect.data_adapters.peptide.join import database, store
from transect.data_adapters.peptide.join.store import CandidateStore
from transect.data_adapters.peptide.proforma import parse_peptide
from transect.data_adapters.peptide.run import open_run
from transect.data_adapters.peptide.spectrum import Run, RunCase, Spectrum, part_of


def peptides(count, seed=0):
    """Random peptides of distinct masses."""
    draw = random.Random(seed)
    return ["".join(draw.choices("GASPVTLNDQKEMHFRYW", k=draw.randint(8, 20))) + "K" for _ in range(count)]


def write_mgf(path, sequences, *, title="spectrum {0}", scan=None, broken=(), labelled=False):
    """Write spectra with the peptides as precursors; those in `broken` have no peaks."""
    with path.open("w") as file:
        for index, sequence in enumerate(sequences):
            file.write(f"BEGIN IONS\nTITLE={title.format(index)}\nPEPMASS={parse_peptide(sequence).mz(2):.5f}\n")
            file.write("CHARGE=2+\n" + (f"SCANS={scan(index)}\n" if scan else ""))
            file.write(f"SEQ={sequence}\n" if labelled else "")
            file.write("" if index in broken else "100.0 1.0\n")
            file.write("END IONS\n")


def mztab(rows, locations=("run.mgf",)):
    """An mzTab of (reference, sequence, score, m/z)."""
    text = "".join(f"MTD\tms_run[{i}]-location\tfile:///{one}\n" for i, one in enumerate(locations, 1))
    text += "PSH\tsequence\tsearch_engine_score[1]\tcharge\texp_mass_to_charge\tspectra_ref\n"
    return text + "".join(f"PSM\t{s}\t{score}\t2\t{mz}\t{reference}\n" for reference, s, score, mz in rows)


def with_mz(rows):
    """An mzTab with the precursor m/z of (index, sequence, score)."""
    return mztab((f"ms_run[1]:index={i}", s, score, parse_peptide(s).mz(2)) for i, s, score in rows)


def opened(spectra, *candidates, config=None, part=None):
    case = RunCase("run", "run", (), spectra=str(spectra), candidates=tuple(map(str, candidates)), part=part)
    return open_run(case, config or ReadConfig())


def drained(run):
    """The peptides of the candidates of each spectrum."""
    return [
        [candidate.peptide.proforma for candidate in candidate_set.candidates] for candidate_set in run.candidate_sets()
    ]


def test_a_spectrum_without_peaks_in_the_middle_moves_nothing(tmp_path):
    names = peptides(60)
    write_mgf(tmp_path / "run.mgf", names, scan=lambda index: 100 + 3 * index, broken={30})
    (tmp_path / "a.mztab").write_text(with_mz((i, s, 0.5) for i, s in enumerate(names) if i not in (20, 30)))
    (tmp_path / "b.tsv").write_text(
        "TITLE\tDENOVO\tScore\n" + "".join(f"spectrum {i}\t{s}\t0.5\n" for i, s in enumerate(names) if i != 20)
    )
    (tmp_path / "c.csv").write_text(
        "spectrum_id,sequence,score\n" + "".join(f"scan={100 + 3 * i},{s},0.5\n" for i, s in enumerate(names))
    )
    run = opened(tmp_path / "run.mgf", tmp_path / "a.mztab", tmp_path / "b.tsv", tmp_path / "c.csv")
    candidate_sets = list(run.candidate_sets())
    for index, candidate_set in enumerate(candidate_sets):
        assert [c.peptide.proforma for c in candidate_set.candidates] == ([] if index == 30 else [names[index]])
        if index not in (20, 30):
            assert candidate_set.candidates[0].tools == ("mztab", "pepnet", "custom")
    assert candidate_sets[20].candidates[0].tools == ("custom",)
    assert candidate_sets[30].spectrum.problem == "no peaks"
    assert [(one.what, one.spectrum) for one in run.omissions] == [("spectrum skipped", "index=30")]
    assert run.omissions[0].detail == "no peaks; 2 candidates not used"
    assert run.counts["spectra"] == 60


@pytest.mark.parametrize("first", [0, 1])
def test_numbers_without_a_name_are_read_from_either_end(tmp_path, first):
    names = peptides(40)
    write_mgf(tmp_path / "run.mgf", names, title="no number", scan=lambda index: 7000 - index)
    text = "scan\toutput_seq\toutput_score\n" + "".join(
        f"run:{i + first}\t{','.join(s)}\t1\n" for i, s in enumerate(names)
    )
    (tmp_path / "deep.tab").write_text(text)
    assert drained(opened(tmp_path / "run.mgf", tmp_path / "deep.tab")) == [[name] for name in names]


@pytest.mark.parametrize("dialect", ["mzTab", "table", "rows"])
def test_a_shifted_file_is_refused_with_the_evidence(tmp_path, dialect):
    names = peptides(80)
    write_mgf(tmp_path / "run.mgf", names)
    shifted = list(enumerate(names[1:]))
    if dialect == "mzTab":
        (tmp_path / "a").write_text(with_mz((i, s, 0.5) for i, s in shifted))
        expected = "rows that fit: 0 of 79 by index, .*expected rows with the precursor of"
    elif dialect == "table":
        (tmp_path / "a").write_text("TITLE\tDENOVO\tScore\n" + "".join(f"spectrum {i}\t{s}\t1\n" for i, s in shifted))
        expected = "rows that fit: 0 of 79 by title, .*expected rows with the precursor mass of"
    else:
        (tmp_path / "a").write_text("".join(f"{' '.join(s)}\n" for _, s in shifted))
        expected = "rows that fit: 0 of 79 by index"
    run = opened(tmp_path / "run.mgf", tmp_path / "a")
    with pytest.raises(BadInput, match=expected):
        drained(run)


@pytest.mark.parametrize("shift", [1, -3])
@pytest.mark.parametrize("begin", [900, 1150])
def test_a_shift_that_begins_in_the_middle_is_refused(tmp_path, shift, begin):
    names = peptides(1300)
    write_mgf(tmp_path / "run.mgf", names)
    proposed = [names[i] if i < begin else names[(i + shift) % 1300] for i in range(1300)]
    lines = [f"spectrum {i}\t{s}\t1\n" for i, s in enumerate(proposed) if i % 7]
    (tmp_path / "a.tsv").write_text("TITLE\tDENOVO\tScore\n" + "".join(lines))
    run = opened(tmp_path / "run.mgf", tmp_path / "a.tsv")
    with pytest.raises(BadInput, match=re.escape(f"fit with a shift of {shift:+d}")):
        drained(run)


def test_a_stretch_of_poor_candidates_is_no_shift(tmp_path):
    names, others = peptides(1300), peptides(1300, seed=1)
    write_mgf(tmp_path / "run.mgf", names)
    proposed = [others[i] if 500 <= i < 900 else names[i] for i in range(1300)]
    (tmp_path / "a.tsv").write_text(
        "TITLE\tDENOVO\tScore\n" + "".join(f"spectrum {i}\t{s}\t1\n" for i, s in enumerate(proposed))
    )
    run = opened(tmp_path / "run.mgf", tmp_path / "a.tsv")
    assert drained(run) == [[name] for name in proposed]
    assert run.counts["mass disagrees"] == 400


def test_rows_that_tell_another_precursor_are_left_out_and_listed(tmp_path):
    names = peptides(50)
    write_mgf(tmp_path / "run.mgf", names)
    proposed = [(i, names[i] if i != 7 else names[8], 0.5) for i in range(50)]
    (tmp_path / "a.mztab").write_text(
        with_mz(proposed) + with_mz([(0, names[0], 0.5)]).splitlines()[-1].replace("\t2\t", "\t3\t")
    )
    run = opened(tmp_path / "run.mgf", tmp_path / "a.mztab")
    found = drained(run)
    assert found == [[name] if i != 7 else [] for i, name in enumerate(names)]
    assert run.counts["precursor disagrees"] == 2
    assert [(one.line, one.spectrum, one.what) for one in run.omissions] == [
        (10, "index=7", "precursor disagrees"),
        (53, "index=0", "precursor disagrees"),
    ]
    assert f"m/z {parse_peptide(names[8]).mz(2):.4f} and charge 2 instead of" in run.omissions[0].detail


def test_candidates_that_no_spectrum_tells_apart_are_one(tmp_path):
    write_mgf(tmp_path / "run.mgf", ["PEPTIDEK"])
    (tmp_path / "a.mztab").write_text(
        with_mz(
            [(0, "DITPEPEK", 0.3), (0, "PEPTIDEK", 0.9), (0, "PEPTLDEK", 0.8), (0, "PEPTXDEK".replace("X", "J"), 0.1)]
        )
    )
    (tmp_path / "b.tsv").write_text("TITLE\tDENOVO\tScore\nspectrum 0\tPEPTLDEK\t\n")
    run = opened(tmp_path / "run.mgf", tmp_path / "a.mztab", tmp_path / "b.tsv")
    (candidate_set,) = run.candidate_sets()
    best, second = candidate_set.candidates
    assert (best.peptide.proforma, best.tools, best.ranks) == ("PEPTIDEK", ("mztab", "pepnet"), (1, 1))
    assert best.scores[0] == 0.9
    assert math.isnan(best.scores[1])
    assert (second.peptide.proforma, second.tools, second.scores, second.ranks) == (
        "DITPEPEK",
        ("mztab",),
        (0.3,),
        (2,),
    )
    assert (
        len(
            next(
                opened(tmp_path / "run.mgf", tmp_path / "a.mztab", config=ReadConfig(top=1)).candidate_sets()
            ).candidates
        )
        == 1
    )


def test_what_is_not_used_is_told_by_kind(tmp_path, monkeypatch):
    names = peptides(30)
    write_mgf(tmp_path / "run.mgf", names)
    lines = [f"spectrum {i}\t{s}\t1\n" for i, s in enumerate(names)]
    lines[3] = "spectrum 3\tPEPXTIDE\t1\n"
    lines[4] = "spectrum 4\t\t1\n"
    lines[5] = "spectrum 5\tPEPTIDE\t1\n"
    lines[6] = f"spectrum 6\t{names[6]}[+0.5]\t1\n"
    lines[7] = "spectrum 7\n"
    lines.append("spectrum 99\tPEPTIDE\t1\n")
    (tmp_path / "a.tsv").write_text("TITLE\tDENOVO\tScore\n" + "".join(lines))
    run = opened(tmp_path / "run.mgf", tmp_path / "a.tsv")
    found = drained(run)
    assert [i for i, names in enumerate(found) if not names] == [3, 4, 7]
    assert [(one.line, one.spectrum, one.what) for one in run.omissions] == [
        (9, "", "not a peptide"),
        (5, "index=3", "unknown residue"),
        (6, "index=4", "not a peptide"),
        (7, "index=5", "mass disagrees"),
        (8, "index=6", "mass disagrees"),
        (8, "index=6", "unusual residue"),
        (32, "", "no such spectrum"),
    ]
    assert run.omissions[1].detail == "pepnet: PEPXTIDE: residue X has no mass"
    assert run.omissions[-1].detail == "pepnet: title spectrum 99"
    counts = dict(run.counts)
    assert drained(run) == found
    assert run.counts == counts
    monkeypatch.setattr("transect.data_adapters.peptide.spectrum.LISTED", 3)
    drained(run)
    assert len(run.omissions) == 3
    assert run.counts == counts


def test_rows_of_other_files_of_spectra_stay_out(tmp_path):
    names = peptides(40)
    write_mgf(tmp_path / "second.mgf", names[20:])
    rows = [(f"ms_run[{1 + i // 20}]:index={i % 20}", s, 0.5, parse_peptide(s).mz(2)) for i, s in enumerate(names)]
    (tmp_path / "a.mztab").write_text(mztab(rows, ("first.mgf", "x/Second.mgf.gz")))
    run = opened(tmp_path / "second.mgf", tmp_path / "a.mztab")
    assert drained(run) == [[name] for name in names[20:]]
    assert run.counts["rows of other files of spectra"] == 20
    assert run.omissions == []
    shutil.copy(tmp_path / "second.mgf", tmp_path / "third.mgf")
    with pytest.raises(BadInput, match="files of spectra: found first, second, expected third"):
        drained(opened(tmp_path / "third.mgf", tmp_path / "a.mztab"))
    (tmp_path / "b.mztab").write_text(with_mz((i, s, 0.5) for i, s in enumerate(names[20:])))
    assert drained(opened(tmp_path / "third.mgf", tmp_path / "b.mztab")) == [[name] for name in names[20:]]


def test_candidates_of_another_run_altogether_are_refused(tmp_path):
    write_mgf(tmp_path / "run.mgf", peptides(30))
    (tmp_path / "a.tsv").write_text("TITLE\tDENOVO\tScore\nother x\tPEPTIDEK\t1\n")
    with pytest.raises(BadInput, match=r"spectra of pepnet: found none of those in .*run.mgf"):
        drained(opened(tmp_path / "run.mgf", tmp_path / "a.tsv"))


def test_titles_that_all_spectra_share_name_none(tmp_path):
    names = peptides(40)
    write_mgf(tmp_path / "run.mgf", names, title="File: run.raw", scan=lambda index: 10 + index)
    (tmp_path / "a.csv").write_text(
        "experiment_name\tscan_number\tpredictions\tspectrum_id\n"
        + "".join(f"File: run.raw\t{10 + i}\t{s}\tFile: run.raw\n" for i, s in enumerate(names))
    )
    assert drained(opened(tmp_path / "run.mgf", tmp_path / "a.csv")) == [[name] for name in names]


def test_a_part_of_a_run_holds_its_peptides_and_no_false_alarm(tmp_path):
    names = peptides(60)
    write_mgf(tmp_path / "run.mgf", names, labelled=True)
    (tmp_path / "a.mztab").write_text(with_mz((i, s, 0.5) for i, s in enumerate(names)))
    parts = [part_of(parse_peptide(name)) for name in names]
    for part in (*sorted(set(parts))[:4], next(one for one in range(40) if one not in parts)):
        run = opened(tmp_path / "run.mgf", tmp_path / "a.mztab", part=part)
        found = [candidate_set.spectrum.index for candidate_set in run.candidate_sets()]
        assert found == [index for index, one in enumerate(parts) if one == part]
        assert run.counts["spectra"] == run.length == len(found)
        assert run.omissions == []
    whole = opened(tmp_path / "run.mgf", tmp_path / "a.mztab")
    next(whole.candidate_sets())
    assert whole.length == len(names)


@pytest.mark.parametrize("missing", ["run.mgf", "a.mztab"])
def test_a_missing_or_wrong_file_is_named_when_the_run_is_opened(tmp_path, missing):
    write_mgf(tmp_path / "run.mgf", ["PEPTIDEK"])
    (tmp_path / "a.mztab").write_text(with_mz([(0, "PEPTIDEK", 1)]))
    (tmp_path / missing).write_text("nothing of the kind\n")
    with pytest.raises(BadInput, match=missing):
        opened(tmp_path / "run.mgf", tmp_path / "a.mztab")
    (tmp_path / missing).unlink()
    with pytest.raises(BadInput, match=f"{missing}: file: found no such file"):
        opened(tmp_path / "run.mgf", tmp_path / "a.mztab")


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_flipped_bytes_of_rows_cost_those_rows_alone(data):
    names = peptides(12)
    head = "TITLE\tDENOVO\tScore\n"
    content = bytearray((head + "".join(f"spectrum {i}\t{s}\t0.5\n" for i, s in enumerate(names))).encode())
    places = data.draw(st.lists(st.integers(len(head), len(content) - 1), min_size=1, max_size=4))
    for place in places:
        content[place] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_mgf(folder / "run.mgf", names)
        (folder / "a.tsv").write_bytes(content)
        found = drained(opened(folder / "run.mgf", folder / "a.tsv"))
    assert sum(one != [name] for one, name in zip(found, names, strict=True)) <= 2 * len(places)


def test_memory_does_not_grow_with_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "SAMPLE", 100)
    monkeypatch.setattr(database, "_BATCH", 100)
    names = peptides(50)

    def spectra(count):
        for index in range(count):
            mz = parse_peptide(names[index % 50]).mz(2)
            yield Spectrum(index, "", f"spectrum {index}", mz, 2, math.nan, np.ones(1), np.ones(1, np.float32))

    def peak(count):
        path = tmp_path / "a.mztab"
        path.write_text(with_mz((i, names[i % 50], 0.5) for i in range(count)))
        run = Run("run.mgf", "index", ("mztab",), lambda: iter(()))
        tracemalloc.start()
        with CandidateStore(run, [open_candidates(str(path))], ReadConfig()) as store:
            store.resolve(spectra(count))
            for spectrum in spectra(count):
                assert store.candidate_set(spectrum).candidates
            store.finish()
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(100)
    assert peak(4000) - peak(1000) < 150_000  # 50 bytes per row, mostly buffers that fill up
