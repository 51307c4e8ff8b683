"""The phantom: properties of its spectra, tools and splits, and reading of all its dialects."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.adapter import PeptideAdapter
from transect.data_adapters.peptide.candidates.phantom import TOOLS
from transect.data_adapters.peptide.config import PhantomConfig, ReadConfig
from transect.data_adapters.peptide.peptide import PROTON, Peptide
from transect.data_adapters.peptide.phantom import RIGHT, write_phantom
from transect.data_adapters.peptide.spectra.read import read_spectra
from transect.data_adapters.peptide.spectrum import CandidateSet, Run

CONFIG = PhantomConfig(spectra=40, tools=len(TOOLS))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    PeptideAdapter(ReadConfig(), CONFIG).phantom(folder, 6, 1)
    return folder


@pytest.fixture(scope="module")
def runs(root: Path) -> list[tuple[Run, list[CandidateSet]]]:
    adapter = PeptideAdapter(ReadConfig(), CONFIG)
    opened = [adapter.read(case) for case in adapter.cases(str(root))]
    return [(run, list(run.candidate_sets())) for run in opened]


@pytest.mark.parametrize(
    ("count", "splits"),
    [
        (1, {"train": 1}),
        (2, {"train": 1, "val": 1}),
        (3, {"train": 1, "val": 1, "test": 1}),
        (6, {"train": 4, "val": 1, "test": 1}),
        (20, {"train": 14, "val": 3, "test": 3}),
    ],
)
def test_runs_are_dealt_to_splits(tmp_path: Path, count, splits):
    adapter = PeptideAdapter(ReadConfig(), PhantomConfig(spectra=1, tools=2))
    adapter.phantom(tmp_path, count, 0)
    cases = adapter.cases(str(tmp_path))
    assert Counter(case.split for case in cases) == splits
    assert sorted(case.id for case in cases) == [f"run{number:02d}" for number in range(1, count + 1)]
    assert {len(case.candidates) for case in cases} == {2}
    assert adapter.columns == ("spectra", "candidates")


def test_every_tool_is_read_and_all_its_rows_are_joined(runs):
    for run, candidate_sets in runs:
        assert sorted(run.tools) == sorted(tool.name.partition(".")[0] for tool in TOOLS)
        assert len(candidate_sets) == CONFIG.spectra
        assert run.omissions == []
        per_tool = Counter(
            tool for candidate_set in candidate_sets for one in candidate_set.candidates for tool in one.tools
        )
        assert {per_tool[tool] for tool in run.tools if tool != "pepnet"} == {CONFIG.spectra}
        assert CONFIG.spectra / 2 < per_tool["pepnet"] < CONFIG.spectra  # this tool proposes no modifications
        assert sum(per_tool.values()) == run.counts["rows"]


def test_each_tool_is_right_for_its_share(runs):
    for _, candidate_sets in runs:
        right = Counter(
            tool
            for candidate_set in candidate_sets
            for one in candidate_set.candidates
            if one.peptide.merged == candidate_set.spectrum.label.merged
            for tool in one.tools
        )
        for tool, share in zip(TOOLS, RIGHT, strict=True):
            name = tool.name.partition(".")[0]
            if name != "pepnet":
                assert right[name] == round(share * CONFIG.spectra)


def test_all_candidates_are_as_heavy_as_the_precursor(runs):
    for _, candidate_sets in runs:
        for candidate_set in candidate_sets:
            for one in candidate_set.candidates:
                assert abs(one.peptide.mass - candidate_set.spectrum.label.mass) < 1e-5
                assert abs(candidate_set.spectrum.mass_error_ppm(one.peptide)) < 20


def pairs(peptide: Peptide, candidate_set: CandidateSet) -> Iterator[tuple[str, str]]:
    return zip(peptide.merged, candidate_set.spectrum.label.merged, strict=False)


def test_mistakes_begin_near_the_n_terminus_half_of_the_time(runs):
    starts = [
        next(at for at, (got, want) in enumerate(pairs(one.peptide, candidate_set)) if got != want)
        for _, candidate_sets in runs
        for candidate_set in candidate_sets
        for one in candidate_set.candidates
        if one.peptide.merged != candidate_set.spectrum.label.merged
    ]
    assert len(starts) > 200
    assert 0.4 < np.mean(np.array(starts) < 2) < 0.75


def test_only_the_spectrum_tells_the_right_peptide(runs):
    """Fragment matching finds the correct peptide nearly always; a vote of the tools or the precursor mass does not."""
    found = Counter()
    total = 0
    for _, candidate_sets in runs:
        for candidate_set in candidate_sets:
            wanted = candidate_set.spectrum.label.merged
            if (
                wanted not in [one.peptide.merged for one in candidate_set.candidates]
                or len(candidate_set.candidates) < 2
            ):
                continue
            total += 1
            matches = [matched(candidate_set, one.peptide) for one in candidate_set.candidates]
            votes = [len(one.tools) for one in candidate_set.candidates]
            errors = [-abs(candidate_set.spectrum.mass_error_ppm(one.peptide)) for one in candidate_set.candidates]
            for way, scores in (("fragments", matches), ("vote", votes), ("precursor", errors)):
                found[way] += candidate_set.candidates[int(np.argmax(scores))].peptide.merged == wanted
    assert total > 150
    assert found["fragments"] > 0.9 * total
    assert found["vote"] < 0.85 * total
    assert found["precursor"] < 0.7 * total


def matched(candidate_set: CandidateSet, peptide: Peptide) -> int:
    prefixes = peptide.prefix_masses()[:-1]
    theory = np.concatenate([prefixes, peptide.mass - prefixes]) + PROTON
    return int((np.abs(theory[:, None] - candidate_set.spectrum.mz) < 0.01).any(axis=1).sum())


def test_spectra_are_usable_and_say_their_peptide(root):
    for file in root.rglob("*.mgf"):
        spectra = list(read_spectra(str(file)))
        assert len({spectrum.scan for spectrum in spectra}) == CONFIG.spectra
        for spectrum in spectra:
            assert spectrum.problem == ""
            assert int(spectrum.scan) != spectrum.index
            assert spectrum.label is not None
            assert 7 <= len(spectrum.label.sequence) <= 14
            assert spectrum.label.sequence[-1] in "KR"
            assert abs(spectrum.mass_error_ppm(spectrum.label)) < 20
    labels = [spectrum.label.proforma for file in root.rglob("*.mgf") for spectrum in read_spectra(str(file))]
    for part in ("M[Oxidation]", "C[Carbamidomethyl]", "[Acetyl]-"):
        assert any(part in label for label in labels)


def test_equal_seeds_make_equal_bytes(root, tmp_path: Path):
    write_phantom(tmp_path / "same", 6, 1, CONFIG)
    write_phantom(tmp_path / "other", 6, 2, CONFIG)
    files = sorted(path.relative_to(root) for path in root.rglob("*.*"))
    assert len(files) == 6 * (1 + len(TOOLS))
    for file in files:
        assert (tmp_path / "same" / file).read_bytes() == (root / file).read_bytes()
        assert (tmp_path / "other" / file).read_bytes() != (root / file).read_bytes()


@pytest.mark.parametrize("tools", [-1, len(TOOLS) + 1])
def test_more_tools_than_there_are_are_refused(tmp_path: Path, tools):
    with pytest.raises(BadInput, match=f"tools: found {tools}, expected 0 to {len(TOOLS)}"):
        write_phantom(tmp_path, 1, 0, PhantomConfig(tools=tools))
    assert not list(tmp_path.iterdir())
