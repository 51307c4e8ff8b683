"""Peptides from end to end: one row per spectrum despite faults in others; no peptide is in two splits."""

import csv
import json
import math
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from pyteomics.mztab import MzTab

from transect.apps.peptide.app import PeptideIdentification
from transect.apps.peptide.config import Config
from transect.data_adapters.peptide.config import PhantomConfig
from transect.data_adapters.peptide.proforma import parse_peptide
from transect.pipelines import model_folder, train
from transect.pipelines.predict import predict
from transect.pipelines.splits import with_splits

Run = Callable[..., tuple[int, str, str]]

BLOCK = re.compile(r"BEGIN IONS\n.*?END IONS\n", re.DOTALL)
PROFORMA = "opt_global_cv_MS:1003169_proforma_peptidoform_sequence"
PLAIN = ["--precision", "fp32"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model, which ranks by the evidence in the spectrum alone."""
    torch.manual_seed(0)
    app = PeptideIdentification(Config())
    folder = tmp_path_factory.mktemp("peptide") / "model"
    model_folder.save(folder, "peptide", app, app.model(), "# untrained\n")
    return folder


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three labelled runs, the last of which is the test split."""
    root = tmp_path_factory.mktemp("labelled")
    PeptideIdentification(Config(phantom=PhantomConfig(spectra=24, tools=3))).adapter.phantom(root, 3, 0)
    return root


@pytest.fixture
def run(labelled: Path, tmp_path: Path) -> Path:
    """The folder of a run without labels, whose spectra 3 and 5 have no candidate."""
    folder = tmp_path / "run"
    shutil.copytree(labelled / "test", folder)
    rewrite(folder / "run03.mgf", [re.sub("SEQ=.*\n", "", block) for block in blocks(folder / "run03.mgf")])
    for file in folder.iterdir():
        if file.suffix != ".mgf":
            lines = file.read_text().splitlines(keepends=True)
            file.write_text("".join(line for line in lines if not of_spectra(line, folder, (3, 5))))
    return folder


def of_spectra(line: str, folder: Path, indices: Sequence[int]) -> bool:
    """Whether a line of a candidate file refers to one of these spectra."""
    scans = [scan_of(block) for block in blocks(folder / "run03.mgf")]
    named = [rf"index={index}\b|scan={scans[index]}\b|^{scans[index]}," for index in indices]
    return bool(re.search("|".join(named), line))


def blocks(path: Path) -> list[str]:
    return BLOCK.findall(path.read_text())


def scan_of(block: str) -> str:
    return re.search(r"SCANS=(\d+)", block)[1]


def rewrite(path: Path, spectra: Sequence[str]) -> None:
    path.write_text("\n".join(spectra))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def done(model: Path, inputs: Sequence[Path], out: Path, *settings: str) -> Path:
    """Predict the only case among the inputs; returns its folder."""
    outcomes = predict(str(model), [str(file) for file in inputs], out, [*PLAIN, *settings])
    assert [outcome.status for outcome in outcomes] == ["done"], outcomes
    return out / outcomes[0].case


def without_position(row: dict[str, str]) -> dict[str, str]:
    """A row without the position of its spectrum in the file."""
    return {key: value for key, value in row.items() if key not in ("index", "spectrum_id")}


def same(first: dict[str, str], second: dict[str, str]) -> None:
    """Assert that two rows are equal apart from their position, with numbers to 1e-5."""
    first, second = without_position(first), without_position(second)
    for key in ("score", "deviation_da", "margin", "aa_scores"):
        numbers = [[float(text or "nan") for text in row.pop(key).split(",")] for row in (first, second)]
        np.testing.assert_allclose(*numbers, rtol=0, atol=2e-5 if key == "aa_scores" else 1e-5)
    assert first == second


def test_mztab_and_table_agree_and_every_spectrum_has_its_row(model, run, tmp_path, transect):
    out = tmp_path / "out"
    ended = transect("predict", model, run, "--out", out, *PLAIN)
    assert ended.returncode == 0, ended.stderr
    rows = table(out / "run03" / "results.csv")
    assert [row["scan"] for row in rows] == [scan_of(block) for block in blocks(run / "run03.mgf")]
    assert [row["index"] for row in rows] == [str(index) for index in range(24)]
    written = MzTab(str(out / "run03" / "results.mztab")).spectrum_match_table
    answered = [row for row in rows if row["sequence"]]
    assert len(answered) == len(written)
    for row, (_, psm) in zip(answered, written.iterrows(), strict=True):
        assert psm["spectra_ref"] == f"ms_run[1]:index={row['index']}"
        assert psm[PROFORMA] == row["sequence"]
        assert psm["sequence"] == parse_peptide(row["sequence"]).sequence
        for key, column in (("search_engine_score[1]", "score"), ("exp_mass_to_charge", "precursor_mz")):
            assert float(psm[key]) == float(row[column])
        assert (psm["opt_global_aa_scores"], psm["opt_global_tools"]) == (
            row["aa_scores"],
            row["tools"].replace(", ", ","),
        )
        assert int(psm["charge"]) == int(row["charge"])
        assert parse_peptide(row["sequence"]).mz(int(row["charge"])) == pytest.approx(float(psm["calc_mass_to_charge"]))
    assert {row["tools"] for row in (rows[3], rows[5])} == {"spectrum graph"}
    others = {row["tools"] for index, row in enumerate(rows) if index not in (3, 5)}
    assert not any("graph" in tools for tools in others)


def test_spectra_without_candidates_stay_empty_where_none_may_be_made(model, run, tmp_path):
    rows = table(done(model, [run], tmp_path / "out", "--generate", "never") / "results.csv")
    assert len(rows) == 24
    assert [index for index, row in enumerate(rows) if not row["sequence"]] == [3, 5]
    for index in (3, 5):
        assert rows[index]["problem"] == "no candidate"
        assert (rows[index]["score"], rows[index]["aa_scores"], rows[index]["fits_precursor"]) == ("", "", "")


def test_proposals_of_the_graph_join_those_of_the_tools(model, run, tmp_path):
    rows = table(done(model, [run], tmp_path / "out", "--generate", "always") / "results.csv")
    joined = [row["tools"].split(", ") for row in rows if "spectrum graph" in row["tools"]]
    assert any(len(tools) > 1 for tools in joined)
    assert all(len(tools) == len(set(tools)) for tools in joined)


def test_equal_proposals_are_one_with_all_its_supporters(model, run, tmp_path):
    folder = done(model, [run], tmp_path / "out", "--candidates", "10")
    proposals = defaultdict(lambda: defaultdict(set))
    for candidate_set in PeptideIdentification(Config()).adapter.read(case_of(run)).candidate_sets():
        for candidate in candidate_set.candidates:
            proposals[candidate_set.spectrum.index][candidate.peptide.merged] |= set(candidate.tools)
    written = defaultdict(dict)
    for _, psm in MzTab(str(folder / "results.mztab")).spectrum_match_table.iterrows():
        index, peptide = int(psm["spectra_ref"].rpartition("=")[2]), parse_peptide(psm[PROFORMA]).merged
        assert peptide not in written[index]
        written[index][peptide] = set(psm["opt_global_tools"].split(","))
    assert {index: written[index] for index in proposals if proposals[index]} == {
        index: dict(tools) for index, tools in proposals.items() if tools
    }
    assert any(len(tools) == 3 for peptides in written.values() for tools in peptides.values())


def case_of(folder: Path):
    (case,) = PeptideIdentification(Config()).adapter.cases(str(folder))
    return case


def test_candidates_are_written_in_the_order_of_their_scores(model, run, tmp_path):
    folder = done(model, [run], tmp_path / "out", "--candidates", "5")
    rows = MzTab(str(folder / "results.mztab")).spectrum_match_table
    several = 0
    for _, ranked in rows.groupby("spectra_ref", sort=False):
        scores, deviations = (
            [float(value) for value in ranked[column]]
            for column in ("search_engine_score[1]", "opt_global_predicted_mass_deviation_da")
        )
        assert scores == sorted(scores, reverse=True)
        assert deviations == sorted(deviations)
        assert [int(rank) for rank in ranked["opt_global_rank"]] == list(range(1, len(ranked) + 1))
        several += len(set(scores)) > 1
    assert several > 5
    for _, row in rows.iterrows():
        scores = [float(text) for text in row["opt_global_aa_scores"].split(",")]
        # A modified N-terminus has its own score before that of the first residue.
        terminal = row[PROFORMA].startswith("[")
        assert len(scores) == len(row["sequence"]) + terminal
        assert all(0 < score <= 1 for score in scores)


def test_scores_do_not_depend_on_the_other_spectra(model, run, tmp_path):
    spectra = blocks(run / "run03.mgf")
    rewrite(run / "run03.mgf", spectra[1::2])
    # Candidates that refer to spectra by index do not fit the shorter file.
    (run / "run03.casanovo.mztab").unlink()
    by_scan = [file for file in sorted(run.iterdir()) if file.suffix != ".mgf"]
    half = table(done(model, [run / "run03.mgf", *by_scan], tmp_path / "half") / "results.csv")
    rewrite(run / "run03.mgf", spectra)
    whole = table(done(model, [run / "run03.mgf", *by_scan], tmp_path / "whole") / "results.csv")
    assert len(half) == 12
    for before, after in zip(whole[1::2], half, strict=True):
        same(before, after)


def test_a_damaged_spectrum_moves_no_answer(model, run, tmp_path):
    before = table(done(model, [run], tmp_path / "before") / "results.csv")
    spectra = blocks(run / "run03.mgf")
    spectra[8] = re.sub("CHARGE=.*\n", "", spectra[8])
    spectra[9] = re.sub(r"^\d.*\n", "", spectra[9], flags=re.MULTILINE)
    rewrite(run / "run03.mgf", spectra)
    folder = done(model, [run], tmp_path / "after")
    after = table(folder / "results.csv")
    assert len(after) == 24
    for index, (intact, damaged) in enumerate(zip(before, after, strict=True)):
        if index in (8, 9):
            assert damaged["sequence"] == ""
            assert damaged["scan"] == intact["scan"]
        else:
            same(intact, damaged)
    assert "charge" in after[8]["problem"]
    assert "peaks" in after[9]["problem"]
    skipped = [row["spectrum"] for row in table(folder / "omitted.csv") if row["what"] == "spectrum skipped"]
    assert len(skipped) == 2


def test_each_bad_run_fails_by_name_and_the_others_are_done(model, labelled, tmp_path, transect):
    batch = tmp_path / "batch"
    for name in ("good", "odd", "shifted", "broken"):
        for file in (labelled / "test").iterdir():
            path = batch / name / file.name.replace("run03", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.read_text())
    odd = batch / "odd" / "odd.primenovo.tsv"
    lines = odd.read_text().splitlines(keepends=True)
    title, _, *rest = lines[4].split("\t")
    lines[4] = "\t".join([title, "PEPT[Unobtainium]IDEK", *rest])
    odd.write_text("".join(lines))
    shifted = batch / "shifted" / "shifted.casanovo.mztab"
    shifted.write_text(re.sub(r"index=(\d+)", lambda match: f"index={int(match[1]) + 1}", shifted.read_text()))
    broken = batch / "broken" / "broken.mgf"
    whole = broken.read_text()
    broken.write_text(whole[: len(whole) // 2])
    ended = transect("predict", model, batch, "--out", tmp_path / "out", *PLAIN)
    assert ended.returncode == 1
    rows = {row["case"]: row for row in table(tmp_path / "out" / "manifest.csv")}
    assert {case: row["status"] for case, row in rows.items()} == {
        "good": "done",
        "odd": "done",
        "shifted": "failed",
        "broken": "failed",
    }
    assert "shifted.casanovo.mztab: " in rows["shifted"]["message"]
    assert "broken.mgf: " in rows["broken"]["message"]
    assert not (tmp_path / "out" / "shifted").exists()
    omitted = table(tmp_path / "out" / "odd" / "omitted.csv")
    assert [(row["line"], row["what"]) for row in omitted] == [("5", "unknown residue")]
    assert "Unobtainium" in omitted[0]["detail"]
    good, odd_rows = (table(tmp_path / "out" / name / "results.csv") for name in ("good", "odd"))
    for index, (expected, row) in enumerate(zip(good, odd_rows, strict=True)):
        if index != 3:
            same(expected, row)


def test_real_files_of_instruments_are_answered_by_scan(model, fixtures, tmp_path):
    app = PeptideIdentification(Config())
    for ending in ("mzML", "mzXML"):
        (case,) = app.adapter.cases(str(fixtures / "peptide" / "depthcharge" / f"TMT10-Trial-8.{ending}"))
        spectra = [candidate_set.spectrum for candidate_set in app.adapter.read(case).candidate_sets()]
        usable = [spectrum for spectrum in spectra if not spectrum.problem]
        lines = ["label\tprediction\tcharge\tscore"]
        for spectrum in usable:
            label = spectrum.precursor_mass - parse_peptide("SAMPLEK").mass
            named = f"controllerType=0 controllerNumber=1 scan={spectrum.scan}"
            lines.append(f"{named}\tS[{label:+.4f}]AMPLEK\t{spectrum.charge}\t0.5")
        candidates = tmp_path / f"{ending}.tsv"
        candidates.write_text("\n".join(lines) + "\n")
        folder = done(model, [Path(case.spectra), candidates], tmp_path / ending)
        rows = table(folder / "results.csv")
        scans = [int(row["scan"]) for row in rows]
        assert scans == sorted(set(scans))
        assert [row["scan"] for row in rows if row["sequence"]] == [spectrum.scan for spectrum in usable]
        assert {row["problem"] for row in rows if not row["sequence"]} == {"MS3 spectrum"}
        assert {row["fits_precursor"] for row in rows if row["sequence"]} == {"yes"}
        written = MzTab(str(folder / "results.mztab")).spectrum_match_table
        assert list(written["spectra_ref"]) == [f"ms_run[1]:scan={spectrum.scan}" for spectrum in usable]
        assert not written["modifications"].str.contains("UNIMOD").any()


def test_no_peptide_is_on_two_sides(labelled):
    adapter_app = PeptideIdentification(Config())
    (labelled_case,) = adapter_app.adapter.cases(str(labelled / "test" / "run03.mgf"))
    cases = with_splits(adapter_app.split_units([labelled_case]), 0.2, 0)
    subsets = {
        split: adapter_app.dataset([case for case in cases if case.split == split]).candidate_sets
        for split in ("train", "val")
    }
    peptides = {
        split: {candidate_set.spectrum.label.sequence.replace("I", "L") for candidate_set in candidate_sets}
        for split, candidate_sets in subsets.items()
    }
    assert all(peptides.values())
    assert not peptides["train"] & peptides["val"]
    indices = sorted(
        candidate_set.spectrum.index for candidate_sets in subsets.values() for candidate_set in candidate_sets
    )
    assert len(indices) == len(set(indices))
    assert len(indices) > 20


def test_training_takes_a_run_by_its_files(labelled, tmp_path, command, workplace):
    folder = labelled / "train"
    tools = sorted(file for file in folder.iterdir() if file.suffix != ".mgf")
    settings = ("--train.epochs", "1", "--train.precision", "fp32", "--precision", "fp32")
    sizes = ("--model.dim", "16", "--model.heads", "2", "--model.layers", "1", "--model.encoder_layers", "1")
    status, text, err = command("train", "peptide", "--data", folder / "run01.mgf", *tools, *settings, *sizes)
    assert status == 0, err
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    kept = yaml.safe_load((workplace / "checkpoints" / lines["run"] / "training.yaml").read_text())
    assert kept["data"] == [str(folder / "run01.mgf"), *map(str, tools)]
    tuned = model_folder.app_for(Path(lines["model"])).config
    assert tuned.model.dim == 16
    # Older runs name their data in one string.
    kept["data"] = ";".join(kept["data"])
    file = workplace / "checkpoints" / lines["run"] / "training.yaml"
    file.write_text(yaml.safe_dump(kept))
    weights = (Path(lines["model"]) / "model.safetensors").read_bytes()
    assert train.resume("peptide", lines["run"])[1] == Path(lines["model"])
    assert (Path(lines["model"]) / "model.safetensors").read_bytes() == weights


def test_evaluation_compares_the_reranker_with_baselines_and_gives_intervals(model, labelled, tmp_path, command):
    data = tmp_path / "data"
    shutil.copytree(labelled / "test", data)
    rewrite(data / "run03.mgf", blocks(data / "run03.mgf")[:6])
    out = tmp_path / "out"
    status, _, err = command("evaluate", model, "--data", data, "--out", out, *PLAIN)
    assert status == 0, err
    metrics = json.loads((out / "metrics.json").read_text())
    summary, intervals = metrics["summary"], metrics["intervals"]
    for name in ("vote", "matched-ions", "closest-precursor", "oracle", "best-tool", "casanovo"):
        assert f"{name}_peptide_recall" in summary
    assert summary["oracle_peptide_recall"] >= summary["peptide_recall"]
    assert summary["best-tool_peptide_recall"] >= summary["casanovo_peptide_recall"]
    low, high = intervals["vote_peptide_recall"]
    assert low <= summary["vote_peptide_recall"] <= high
    assert low < high
    assert sorted(file.stem for file in (out / "charts").iterdir()) == sorted(metrics["charts"])
    assert len(table(out / "cases.csv")) == metrics["cases"] == len(table(out / "manifest.csv"))


def test_what_is_not_answered_counts_in_recall(model, labelled, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(labelled / "test", data)
    loaded = model_folder.load(str(model), [*PLAIN, "--generate", "never"])

    def scored() -> dict[str, float]:
        sample = loaded.app.adapter.read(case_of(data))
        metric, prediction = loaded.app.metric, loaded.app.predict(loaded.module, sample)
        return metric.summary([metric.contribution(prediction, sample)])

    whole = scored()
    for file in data.iterdir():
        if file.suffix != ".mgf":
            lines = file.read_text().splitlines(keepends=True)
            file.write_text("".join(line for line in lines if not of_spectra(line, data, range(12))))
    half = scored()
    assert (whole["coverage"], half["coverage"]) == (1, 0.5)
    assert half["peptide_recall"] < whole["peptide_recall"]
    assert math.isclose(half["peptide_recall"], half["peptide_precision"] / 2)
    assert half["oracle_peptide_recall"] <= 0.5


def test_published_weights_are_taken_and_predict(run, fixtures, tmp_path, command):
    fixture = torch.load(fixtures / "peptide" / "ranknovo_d64_l2.pt", weights_only=True)
    torch.save({"state_dict": fixture["state_dict"]}, tmp_path / "published.ckpt")
    status, _, err = command(
        "import-weights", "peptide", "--from", tmp_path / "published.ckpt", "--out", tmp_path / "published"
    )
    assert status == 0, err
    config = model_folder.app_for(tmp_path / "published").config
    assert (config.model.dim, config.model.heads, config.model.evidence) == (64, 8, False)
    rows = table(done(tmp_path / "published", [run], tmp_path / "out", "--generate", "never") / "results.csv")
    assert sum(bool(row["sequence"]) for row in rows) == 22
