"""Rerankers against baselines without training: `python -m benchmarks.rerank SPECTRA CANDIDATES...`.

A fifth of the peptides is held out for testing. On the others each reranker is trained with three seeds: with the
spectrum and the fragment evidence, without evidence as in RankNovo, and blind, without both, which learns from the
candidate lists only. Prints peptide recall on the held-out spectra (I as L), on all labelled ones and on those with two
or more candidates, as mean and standard error over seeds; for untrained baselines the standard error is over spectra.
"""

import argparse
import gzip
import math
import os
import resource
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from benchmarks.inputs import require_distinct
from transect.apps.peptide.app import PeptideIdentification
from transect.apps.peptide.baselines import choices
from transect.apps.peptide.config import Config
from transect.apps.peptide.metrics import COUNTS, RERANKER, spectrum_row
from transect.data_adapters.peptide.spectra.read import read_labels
from transect.data_adapters.peptide.spectrum import PARTS, part_of
from transect.pipelines import model_folder
from transect.pipelines.config import TrainConfig
from transect.pipelines.train import train

TEST_PARTS = PARTS // 5
SEEDS = 3
RIGHT = COUNTS.index("right_merged")


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rerank", description=__doc__)
    parser.add_argument("spectra", type=Path, help="labelled spectra, .mgf or .mgf.gz")
    parser.add_argument("candidates", nargs="+", type=Path, help="candidate files")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--only", choices=list(MODELS), nargs="+", default=list(MODELS))
    arguments = parser.parse_args()
    require_distinct(parser, arguments.spectra, *arguments.candidates)
    torch.set_num_threads(1)
    candidates = [str(path.absolute()) for path in arguments.candidates]
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{scratch}/mlflow.db"
        data = split(arguments.spectra.absolute(), Path(scratch), candidates)
        right: dict[str, list[np.ndarray]] = {}
        for name in arguments.only:
            for seed in range(SEEDS):
                settings = TrainConfig(
                    epochs=arguments.epochs, batch_size=32, learning_rate=RATES[name], seed=seed, precision="fp32"
                )
                start = _cpu_seconds()
                _, folder = train("peptide", [str(data / "train.csv")], MODELS[name], settings)
                spent = _cpu_seconds() - start
                outcomes = score(folder, data / "test.csv")
                several = outcomes.pop("several")
                if seed == 0 and not right:
                    right |= {other: [value] for other, value in outcomes.items() if other != RERANKER}
                right.setdefault(name, []).append(outcomes[RERANKER])
                recall = outcomes[RERANKER][several].mean()
                print(f"{name}, seed {seed}: {spent:.0f} CPU s, {recall:.4f} of those with a choice", flush=True)
    print(f"\n{len(several)} labelled spectra of other peptides, {several.sum()} with a choice of two or more")
    print(f"{'':<22}{'all':>18}{'with a choice':>18}")
    for name, values in sorted(right.items(), key=lambda item: np.mean(item[1])):
        print(f"{name:<22}{_with_error([v.mean() for v in values], len(several)):>18}", end="")
        print(f"{_with_error([v[several].mean() for v in values], several.sum()):>18}")


def _models() -> dict[str, Config]:
    config = Config()
    return {
        "blind control": replace(config, model=replace(config.model, peaks="none")),
        "without evidence": replace(config, model=replace(config.model, evidence=False)),
        "reranker": config,
    }


MODELS: Mapping[str, Config] = _models()
RATES = {"blind control": 5e-4, "without evidence": 5e-4, "reranker": 1e-3}


def split(spectra: Path, folder: Path, candidates: Sequence[str]) -> Path:
    """Write disjoint (by peptide) `train.mgf` and `test.mgf` with a CSV table for each; returns `folder`."""
    labels = list(read_labels(str(spectra)))
    blocks: dict[str, list[str]] = {"train": [], "test": []}
    for block, label in zip(_blocks(spectra), labels, strict=True):
        blocks["test" if label and part_of(label) < TEST_PARTS else "train"].append(block)
    for name, texts in blocks.items():
        (folder / f"{name}.mgf").write_text("".join(texts), encoding="utf-8")
        rows = f"spectra,candidates\n{name}.mgf,{';'.join(candidates)}\n"
        (folder / f"{name}.csv").write_text(rows, encoding="utf-8")
    return folder


def _blocks(path: Path) -> Iterator[str]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as file:
        block: list[str] = []
        for line in file:
            block.append(line)
            if line.startswith("END IONS"):
                yield "".join(block)
                block = []


def score(folder: Path, data: Path) -> dict[str, np.ndarray]:
    """Per labelled spectrum: correctness of the model and of each baseline, and whether it has `several` candidates."""
    model = model_folder.load(str(folder))
    app = cast(PeptideIdentification, model.app)
    (case,) = app.adapter.cases(str(data))
    run = app.adapter.read(case)
    chosen = choices(run.tools)
    rows, several = [], []
    for ranked in app.predict(model.module, run).blocks:
        row = spectrum_row(ranked, chosen)
        if row is not None:
            rows.append(row["outcomes"])
            several.append(len(ranked.candidate_set.candidates) > 1)
    outcomes = {name: np.array([row[name][RIGHT] for row in rows], float) for name in rows[0]}
    return outcomes | {"several": np.array(several)}


def _with_error(values: Sequence[float], spectra: int) -> str:
    mean = float(np.mean(values))
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{mean:.4f} +- {error or math.sqrt(mean * (1 - mean) / spectra):.4f}"


def _cpu_seconds() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


if __name__ == "__main__":
    main()
