"""Runs of folders, tables and files: assignment of candidates to spectra, and identifiers."""

import gzip
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest

from transect.data_adapters.base import BadInput
from transect.data_adapters.files import safe_name
from transect.data_adapters.peptide.config import PhantomConfig, ReadConfig
from transect.data_adapters.peptide.layouts import divided, find_runs
from transect.data_adapters.peptide.phantom import write_phantom
from transect.data_adapters.peptide.run import open_run
from transect.data_adapters.peptide.spectra.read import read_spectra
from transect.data_adapters.peptide.spectrum import PARTS, RunCase, part_of

MGF = "BEGIN IONS\nPEPMASS=400\nCHARGE=2+\n100 1\nEND IONS\n"
MZTAB = "MTD\tmzTab-version\t1.0.0\nMTD\tms_run[1]-location\t{}\nPSH\tsequence\tspectra_ref\n"
PRIMENOVO = "label\tprediction\tcharge\tscore\nscan=1\tPEPTIDE\t2\t0.9\n"


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., Path]:
    """Write files below a folder, each with content by its suffix."""

    def placed(*places: str, text: str = "") -> Path:
        for one in places:
            path = tmp_path / one
            path.parent.mkdir(parents=True, exist_ok=True)
            default = MGF if ".mgf" in one else MZTAB.format("null") if ".mztab" in one else PRIMENOVO
            content = (text or default).encode()
            path.write_bytes(gzip.compress(content) if one.endswith(".gz") else content)
        return tmp_path

    return placed


def listed(root: Path, *inputs: Path) -> dict[str, list[str]]:
    """The files of each run, below `root`, by identifier."""
    cases = find_runs(*map(str, inputs or (root,)))
    assert len({case.id for case in cases}) == len(cases)
    for case in cases:
        assert case.files == (case.spectra, *case.candidates)
        assert case.group == case.id
    return {case.id: [Path(file).relative_to(root).as_posix() for file in case.files] for case in cases}


# Folders


def test_candidates_are_those_named_after_their_spectra(place):
    root = place(
        "a.mgf", "a_b.mgf.gz", "a.b.mzML", "a.casanovo.mztab", "a_b_novo.csv", "a.b-x.tsv.gz", "a-1.TXT", "a_b.json"
    )
    assert listed(root) == {
        "a.b": ["a.b.mzML", "a.b-x.tsv.gz"],
        "a": ["a.mgf", "a-1.TXT", "a.casanovo.mztab"],
        "a_b": ["a_b.mgf.gz", "a_b.json", "a_b_novo.csv"],
    }


def test_the_only_spectra_of_a_folder_have_all_its_candidates(place):
    root = place("x/run.mgf", "x/casanovo.mztab", "x/out.tsv", "y/run.mzXML", "y/run.tsv")
    assert listed(root) == {
        "x-run": ["x/run.mgf", "x/casanovo.mztab", "x/out.tsv"],
        "y-run": ["y/run.mzXML", "y/run.tsv"],
    }


def test_what_is_of_no_dialect_is_passed_over_unless_its_name_says_that_it_belongs(place):
    root = place("run.mgf", "run.tsv")
    place("README.txt", "samples.tsv", "run.notes.txt", text="words about\nsome samples\n")
    (root / "empty.csv").touch()
    assert listed(root) == {"run": ["run.mgf", "empty.csv", "run.notes.txt", "run.tsv"]}


@pytest.mark.parametrize(
    "location", ["file:///data/b.mgf", "file://C:\\data\\b.raw", "b.mzML.gz", "https://host/my%20data/b.mgf?x"]
)
def test_an_mztab_goes_to_the_run_that_it_names(place, location):
    root = place("a.mgf", "b.mgf")
    place("casanovo.mztab", "packed.mztab.gz", text=MZTAB.format(location.partition("?")[0]))
    assert listed(root) == {"a": ["a.mgf"], "b": ["b.mgf", "casanovo.mztab", "packed.mztab.gz"]}


def test_an_mztab_of_several_runs_goes_to_each(place):
    root = place("a.mgf", "b.mgf", "c.mgf")
    place("all.mztab", text="MTD\tms_run[1]-location\tfile:///a.mgf\nMTD\tms_run[2]-location\tfile:///c.mgf\n")
    assert listed(root) == {"a": ["a.mgf", "all.mztab"], "b": ["b.mgf"], "c": ["c.mgf", "all.mztab"]}


def test_candidates_without_spectra_fail_alone_and_by_name(place):
    root = place("a.mgf", "b.mgf", "gone.casanovo.mztab", "gone.x.tsv", "other.tsv")
    cases = {case.id: case for case in find_runs(str(root))}
    assert {name: [Path(file).name for file in case.files] for name, case in cases.items()} == {
        "a": ["a.mgf"],
        "b": ["b.mgf"],
        "gone": ["gone.mgf", "gone.casanovo.mztab", "gone.x.tsv"],
        "other": ["other.mgf", "other.tsv"],
    }
    with pytest.raises(BadInput, match=r"gone\.mgf: file: found no such file"):
        open_run(cases["gone"], ReadConfig())
    assert open_run(cases["a"], ReadConfig()).tools == ()


def test_a_run_keeps_its_name_when_its_spectra_vanish(tmp_path: Path):
    write_phantom(tmp_path, 6, 0, PhantomConfig(spectra=2, tools=3))
    for before in find_runs(str(tmp_path)):
        content = Path(before.spectra).read_bytes()
        Path(before.spectra).unlink()
        [case] = [case for case in find_runs(str(tmp_path)) if not Path(case.spectra).exists()]
        assert case == before
        Path(before.spectra).write_bytes(content)


def test_folders_tell_the_split(place):
    root = place("set/Train/a.mgf", "set/valid/x/b.mgf", "test/c.mgf", "c/d.mgf", "train/test/e.mgf")
    assert {case.id: case.split for case in find_runs(str(root))} == {
        "a": "train",
        "b": "val",
        "c": "test",
        "d": "",
        "e": "test",
    }


def test_hidden_files_and_links_back_are_left_out(place):
    root = place("a.mgf", ".b.mgf", ".git/c.mgf", "deep/._a.mgf")
    (root / "deep" / "back").symlink_to(root)
    assert listed(root) == {"a": ["a.mgf"]}


def test_identifiers_are_unique_safe_and_stable(place):
    root = place(
        "same.mgf", "same.mzML", "x/same.mgf", "x/y/same.mgf", "odd name.mgf", "odd_name.mgf", "A.mgf", "z/a.mgf",
        "ü.mgf", "long" * 50 + ".mgf",
    )  # fmt: skip
    cases = find_runs(str(root))
    ids = [case.id for case in cases]
    assert len({one.casefold() for one in ids}) == len(ids) == 10
    assert all(one == safe_name(one) and len(one) < 140 for one in ids)
    assert {"x-same", "x_y-same"} <= set(ids)
    assert find_runs(str(root)) == cases


def test_nothing_to_list_is_told(tmp_path: Path):
    for inputs, match in (
        ((), "inputs: number: found 0"),
        (("", " ; "), "inputs: number: found 0"),
        ((tmp_path,), "runs: found no file of spectra or candidates"),
        ((tmp_path / "gone",), "gone: input: found nothing there"),
        ((tmp_path / "gone.mgf",), r"gone\.mgf: input: found nothing there"),
    ):
        with pytest.raises(BadInput, match=match):
            find_runs(*map(str, inputs))


# Tables


def test_a_table_names_files_beside_it(place):
    root = place("in/a.mgf", "in/b.mgf")
    table = root / "in" / "runs.csv"
    table.write_text("\ufeffSpectra, candidates,split\na.mgf,x.mztab; y.tsv ,train\nb.mgf,,\n../gone.mgf,z.tsv,test\n")
    assert [(case.id, case.split, case.candidates) for case in find_runs(str(table))] == [
        ("a", "train", (str(root / "in" / "x.mztab"), str(root / "in" / "y.tsv"))),
        ("b", "", ()),
        ("gone", "test", (str(root / "in" / "z.tsv"),)),
    ]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "columns: found none"),
        ("spectra,candidates\n", "rows: found none"),
        (
            "spectra_id,sequence,score\n1,PEPTIDE,0.5\n",
            "columns: found spectra_id, sequence, score.*given together",
        ),
        ("spectra,candidates,group\n", "columns: found spectra, candidates, group"),
        ("spectra,candidates\na.mgf\n", "line 2: found a wrong number of fields"),
        ("spectra,candidates\na.mgf,b,c\n", "line 2: found a wrong number of fields"),
        ("spectra,candidates\n,b\n", "line 2, spectra: found nothing"),
        ("spectra,candidates,split\na.mgf,b,holdout\n", "line 2, split: found holdout, expected train, val, test"),
        ("spectra,candidates\n\udcff,\n", "table: found .*expected a CSV in UTF-8"),
    ],
)
def test_wrong_tables_are_refused_as_a_whole(tmp_path: Path, text, match):
    table = tmp_path / "runs.csv"
    table.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadInput, match=match):
        find_runs(str(table))


# Individual files


def test_files_of_one_run_come_in_any_order_and_with_any_name(place):
    root = place("x.mgf", "y.mztab", "z.csv")
    for order in permutations(("x.mgf", "y.mztab", "z.csv")):
        [case] = find_runs(*(str(root / name) for name in order))
        assert case.spectra == str(root / "x.mgf")
        assert {Path(file).name for file in case.candidates} == {"y.mztab", "z.csv"}
    [case] = find_runs(f"{root}/x.mgf", f"{root}/z.csv;{root}/y.mztab")
    assert [Path(file).name for file in case.candidates] == ["z.csv", "y.mztab"]
    assert find_runs(f"{root}/x.mgf", "")[0].candidates == ()
    assert find_runs(f"{root}/x.mgf")[0].files == (f"{root}/x.mgf",)


def test_a_file_without_an_ending_is_told_from_its_content(place):
    root = place("upload.tsv")
    (root / "upload").write_text("\n" + MGF)
    (root / "other.dat").write_text(PRIMENOVO)
    [case] = find_runs(str(root / "other.dat"), str(root / "upload"))
    assert (case.spectra, case.candidates) == (str(root / "upload"), (str(root / "other.dat"),))


def test_files_of_several_runs_are_told_by_their_names_and_locations(place):
    root = place("a.mgf", "b.mgf", "a.x.tsv", "b_x.tsv")
    place("casanovo.mztab", text=MZTAB.format("file:///b.mgf"))
    files = [root / name for name in ("b_x.tsv", "casanovo.mztab", "a.mgf", "a.x.tsv", "gone.mgf", "b.mgf")]
    assert listed(root, *files) == {
        "a": ["a.mgf", "a.x.tsv"],
        "gone": ["gone.mgf"],
        "b": ["b.mgf", "b_x.tsv", "casanovo.mztab"],
    }
    place("c.tsv")
    with pytest.raises(
        BadInput, match=r"c\.tsv: spectra: found none of 2 files.*run1\.casanovo\.mztab next to run1\.mgf"
    ):
        find_runs(*(str(root / name) for name in ("a.mgf", "b.mgf", "c.tsv")))


def test_candidates_alone_and_a_folder_among_files_are_refused(place):
    root = place("a.mgf", "x.mztab", "y.tsv")
    for names in (("x.mztab",), ("x.mztab", "y.tsv")):
        with pytest.raises(BadInput, match=r"found no file of spectra.*give the spectra file as well"):
            find_runs(*(str(root / name) for name in names))
    with pytest.raises(BadInput, match="found a folder among several inputs"):
        find_runs(str(root), str(root / "a.mgf"))


# Parts


def test_labelled_runs_are_divided_by_peptide(tmp_path: Path):
    write_phantom(tmp_path, 1, 0, PhantomConfig(spectra=120, tools=1))
    [case] = find_runs(str(tmp_path))
    parts = divided(case)
    there = [part_of(spectrum.label) for spectrum in read_spectra(case.spectra)]
    assert [part.part for part in parts] == sorted(set(there))
    assert set(there) < set(range(PARTS))
    for part in parts:
        assert part.id == f"run01-part{part.part:02d}"
        assert part.group == f"train part {part.part}"
        assert (part.files, part.split, part.candidates) == (case.files, "train", case.candidates)
        candidate_sets = list(open_run(part, ReadConfig()).candidate_sets())
        assert len(candidate_sets) == there.count(part.part)
        assert {part_of(candidate_set.spectrum.label) for candidate_set in candidate_sets} == {part.part}


def test_a_peptide_of_two_runs_is_in_one_group_whatever_its_modifications(place):
    root = place("a.mgf", text=MGF.replace("100 1", "SEQ=PEPTIDEMK\n100 1"))
    place("b.mgf", text=MGF.replace("100 1", "SEQ=[Acetyl]-PEPTLDEM[Oxidation]K\n100 1"))
    groups = [part.group for case in find_runs(str(root)) for part in divided(case)]
    assert len(groups) == 2
    assert groups[0] == groups[1]
    assert groups[0].startswith("part ")


def test_a_run_that_has_no_labels_or_cannot_be_read_stays_whole(place, fixtures):
    root = place("a.mgf")
    place("broken.mgf", text="words")
    mzml = fixtures / "peptide" / "depthcharge" / "TMT10-Trial-8.mzML"
    cases = [*find_runs(str(root)), *find_runs(str(mzml)), RunCase("gone", "gone", (), spectra=str(root / "gone.mgf"))]
    assert [divided(case) for case in cases] == [[case] for case in cases]
