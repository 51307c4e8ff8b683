"""The rows of six real tools join as many spectra as the published comparison of the tools counts."""

import gzip
import itertools
import json
import re
from collections import Counter

import pytest

from transect.data_adapters.peptide.candidates.read import open_candidates
from transect.data_adapters.peptide.config import ReadConfig
from transect.data_adapters.peptide.proforma import parse_peptide
from transect.data_adapters.peptide.run import open_run
from transect.data_adapters.peptide.spectrum import RunCase

REAL = ("casanovo.mztab", "adanovo.mztab", "pepnet.tsv", "pihelixnovo.tsv", "piprimenovo.tsv", "deepnovo.tab")


def opened(spectra, *candidates):
    return open_run(
        RunCase("run", "run", (), spectra=str(spectra), candidates=tuple(map(str, candidates))), ReadConfig()
    )


@pytest.fixture(scope="module")
def benchmark(fixtures, tmp_path_factory):
    """The six real tools on the 9000 spectra whose precursors are known from Casanovo, with the expected counts."""
    folder = fixtures / "peptide/proteobench_denovo"
    paths = [folder / f"denovo_benchmark_test.{name}.gz" for name in REAL]
    spectra = tmp_path_factory.mktemp("benchmark") / "denovo_benchmark_test.mgf"
    with spectra.open("w") as file:
        for row in open_candidates(str(paths[0])).rows():
            title = f"controllerType=0 controllerNumber=1 scan={row.keys.index}"
            file.write(f"BEGIN IONS\nTITLE={title}\nPEPMASS={row.precursor_mz}\nCHARGE={row.charge}+\n")
            file.write("100.0 1\nEND IONS\n")
    run = opened(spectra, *paths)
    return run, list(run.candidate_sets())


def test_six_real_tools_join_as_their_makers_compared_them(benchmark):
    run, candidate_sets = benchmark
    assert len(candidate_sets) == 9000
    assert run.counts["rows"] == 4 * 9000 + 7444 + 7811
    assert run.counts["not a peptide"] == 1
    assert run.counts["no such spectrum"] == run.counts["precursor disagrees"] == run.counts["unknown residue"] == 0
    support = [[candidate.tools for candidate in candidate_set.candidates] for candidate_set in candidate_sets]
    common = [tools for tools in support if sum(map(len, tools)) == 6]
    assert len(common) == 6341
    assert Counter(map(len, common)) == {1: 1644, 2: 1688, 3: 1099, 4: 801, 5: 514, 6: 595}
    largest = Counter(max(map(len, tools)) for tools in common)
    assert largest == {6: 1644, 5: 1579, 4: 1028, 3: 861, 2: 634, 1: 595}
    pairs = Counter(
        pair for tools in common for one in tools for pair in itertools.combinations(sorted(one), 2)
    )  # fmt: skip
    shares = {pair: count / len(common) for pair, count in pairs.items()}
    assert min(shares, key=shares.get) == ("deepnovo", "pepnet")
    assert max(shares, key=shares.get) == ("casanovo", "primenovo")
    assert round(min(shares.values()), 2) == 0.30
    assert round(max(shares.values()), 3) == 0.754


def test_six_real_tools_have_the_masses_that_their_makers_measured(benchmark):
    fitting, every = Counter(), Counter()
    for candidate_set in benchmark[1]:
        for candidate in candidate_set.candidates:
            fits = abs(candidate_set.spectrum.mass_error_ppm(candidate.peptide)) <= 20
            every.update(candidate.tools)
            fitting.update(candidate.tools if fits else ())
    assert {tool: round(fitting[tool] / every[tool], 3) for tool in every} == {
        "deepnovo": 1.000,
        "primenovo": 0.968,
        "casanovo": 0.881,
        "helixnovo": 0.826,
        "adanovo": 0.818,
        "pepnet": 0.691,
    }


def test_an_index_that_is_a_scan_number_is_found_out(fixtures, shared_file, tmp_path):
    several = shared_file("data/peptide/simulated/semisyn_candidates.jsonl.gz")
    casanovo = fixtures / "peptide/proteobench_denovo/denovo_benchmark_test.casanovo.mztab.gz"
    with gzip.open(shared_file("data/peptide/simulated/semisyn_3000_on.mgf.gz"), "rt") as file:
        blocks = file.read().split("BEGIN IONS")[1:1501]
    (tmp_path / "first.mgf").write_text("".join(f"BEGIN IONS{block}" for block in blocks))
    without_peaks = sum(not re.search(r"^[0-9]", block, re.MULTILINE) for block in blocks)
    run = opened(tmp_path / "first.mgf", several, casanovo)
    with gzip.open(several, "rt") as file:
        lines = [json.loads(line) for line in file]
    tools = ["casanovo", "adanovo", "pepnet", "helixnovo", "primenovo", "deepnovo"]
    assert run.tools == (*tools, "casanovo_2")
    unusable = 0
    for candidate_set in run.candidate_sets():
        proposed = {tool: lines[3000 + candidate_set.spectrum.index][tool] for tool in tools}
        proposed["casanovo_2"] = proposed["casanovo"]
        if candidate_set.spectrum.problem:
            unusable += 1
            proposed = {}
        merged = {tool: parse_peptide(text).merged for tool, text in proposed.items() if text}
        assert {tool: one.peptide.merged for one in candidate_set.candidates for tool in one.tools} == merged
    judged = 1500 - unusable
    for tool in ("casanovo", "casanovo_2", "pepnet"):
        assert run.joined[tool] == (
            f"index, which is the scan number here: {judged} of {judged} sampled rows fit, but 0 of {judged} by index"
        )
    assert unusable == run.counts["spectrum skipped"] == without_peaks > 0
    assert run.counts["precursor disagrees"] == 0
    others = lines[:3000] + lines[4500:]
    assert run.counts["no such spectrum"] == sum(bool(line[tool]) for line in others for tool in tools) + len(others)
