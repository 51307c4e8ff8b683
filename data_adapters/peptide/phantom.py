"""Synthetic runs with known peptides: spectra of random tryptic peptides, and candidates of simulated de novo tools."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput
from transect.data_adapters.listing import phantom_splits
from transect.data_adapters.peptide.candidates.phantom import TOOLS, Proposal
from transect.data_adapters.peptide.config import PhantomConfig
from transect.data_adapters.peptide.peptide import AMINO_ACID_MASS, PROTON, REFERENCE_MASS, Peptide

RIGHT = (0.65, 0.6, 0.5, 0.45, 0.4)
"""Fraction of spectra for which each tool proposes the correct peptide."""

ISOBARIC = {("G", "G"): ("N",), ("A", "G"): ("Q",), ("G", "A"): ("Q",), ("A", "D"): ("G", "E"), ("N",): ("G", "G")}
"""Isobaric blocks of residues that tools confuse."""

_MASSES = {**AMINO_ACID_MASS, **REFERENCE_MASS}
_INNER = [*"AAADDEEEFGGGHILLLLMNPPQSSSTTVVVWYC"]
_KEPT, _NOISE, _PPM = 0.85, 25, 5.0


def write_phantom(root: Path, count: int, seed: int, config: PhantomConfig | None = None) -> None:
    """Write `count` runs as root/{train,val,test}/runNN.mgf, each with a candidate file of every tool.

    The spectra have the b and y ions of their peptide, some missing, and noise; SEQ gives the peptide. Each tool
    proposes the correct peptide for the fraction `RIGHT`, and otherwise one of equal mass with a swap, an isobaric
    block or a permutation, more often near the N-terminus, so that only the spectrum distinguishes them. 70 % are for
    training; with three or more runs no split is empty. The same `seed` gives the same bytes.

    Raises:
        BadInput: `config.tools` exceeds the number of tools.
    """
    config = config or PhantomConfig()
    if not 0 <= config.tools <= len(TOOLS):
        raise BadInput("phantom", "tools", config.tools, f"0 to {len(TOOLS)}")
    for number, split in enumerate(phantom_splits(count), 1):
        folder = root / split
        folder.mkdir(parents=True, exist_ok=True)
        _write_run(folder, f"run{number:02d}", np.random.default_rng((seed, number)), config)


def _write_run(folder: Path, name: str, rng: np.random.Generator, config: PhantomConfig) -> None:
    peptides = [_peptide(rng) for _ in range(config.spectra)]
    scans = 1000 + np.cumsum(rng.integers(1, 5, config.spectra))
    charges = [3 if peptide.mass > 1200 and rng.random() < 0.4 else 2 for peptide in peptides]
    measured = [
        round(peptide.mz(charge) * (1 + rng.normal(0, 3e-6)), 5)
        for peptide, charge in zip(peptides, charges, strict=True)
    ]
    blocks = [_block(*spectrum, rng) for spectrum in zip(peptides, map(int, scans), charges, measured, strict=True)]
    (folder / f"{name}.mgf").write_text("".join(blocks), encoding="utf-8")
    wrong = [[_mutated(peptide, rng) for _ in range(2)] for peptide in peptides]
    for tool, share in zip(TOOLS[: config.tools], RIGHT, strict=False):
        right = rng.permutation(config.spectra) < round(share * config.spectra)
        proposals = []
        for index, peptide in enumerate(peptides):
            score = rng.beta(8, 2) if right[index] else rng.beta(5, 3)
            proposed = peptide if right[index] else wrong[index][rng.integers(2)]
            proposals.append(Proposal(index, int(scans[index]), charges[index], measured[index], proposed, score))
        text = tool.text(name, proposals)
        (folder / f"{name}.{tool.name}").write_text(text, encoding="utf-8")


def _peptide(rng: np.random.Generator) -> Peptide:
    """A tryptic peptide of 7 to 14 residues, sometimes modified."""
    residues = [*rng.choice(_INNER, rng.integers(6, 14)), str(rng.choice(["K", "R"]))]
    for index, letter in enumerate(residues):
        if letter == "C":
            residues[index] = "C[Carbamidomethyl]"
        elif letter == "M" and rng.random() < 0.3:
            residues[index] = "M[Oxidation]"
    if rng.random() < 0.03:
        residues.insert(0, "[Acetyl]-")
    return _of([str(residue) for residue in residues])


def _of(residues: list[str]) -> Peptide:
    return Peptide(tuple(residues), tuple(_MASSES[residue] for residue in residues))


def _mutated(peptide: Peptide, rng: np.random.Generator) -> Peptide:
    """A wrong peptide of the same mass; half of the errors start at the first two residues."""
    front = 1 if peptide.residues[0].startswith("[") else 0
    while True:
        residues = list(peptide.residues)
        last = len(residues) - 2
        start = front + int(rng.integers(2) if rng.random() < 0.5 else rng.integers(last - front))
        kind = rng.random()
        if kind < 0.3:
            size = 2
        else:
            size = int(rng.integers(3, 6))
        block = residues[start : start + size]
        if kind < 0.6 and (isobaric := _isobaric(block)):
            block = isobaric
        else:
            block = [str(residue) for residue in rng.permutation(block)]
        mutant = _of([*residues[:start], *block, *residues[start + size :]])
        if mutant.merged != peptide.merged:
            return mutant


def _isobaric(block: list[str]) -> list[str]:
    """The block with its first replaceable part replaced by an isobaric one; empty if there is none."""
    for start in range(len(block)):
        for size in (1, 2):
            other = ISOBARIC.get(tuple(block[start : start + size]))
            if other:
                return [*block[:start], *other, *block[start + size :]]
    return []


def _block(peptide: Peptide, scan: int, charge: int, precursor_mz: float, rng: np.random.Generator) -> str:
    """The spectrum as a block of MGF."""
    mz, intensity = _peaks(peptide, charge, rng)
    order = np.argsort(mz)
    peaks = "".join(f"{mz[peak]:.4f} {intensity[peak]:.1f}\n" for peak in order)
    return (
        f"BEGIN IONS\nTITLE=controllerType=0 controllerNumber=1 scan={scan}\nPEPMASS={precursor_mz:.5f}\n"
        f"CHARGE={charge}+\nSCANS={scan}\nRTINSECONDS={scan * 0.5:.2f}\nSEQ={peptide.proforma}\n{peaks}END IONS\n\n"
    )


def _peaks(peptide: Peptide, charge: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    prefixes = peptide.prefix_masses()[:-1]
    if peptide.residues[0].startswith("["):
        prefixes = prefixes[1:]
    b, y = prefixes + PROTON, peptide.mass - prefixes + PROTON
    double = (np.concatenate([b, y]) + PROTON) / 2 if charge > 2 else np.empty(0)
    mz = np.concatenate([b, y, double[double > 300]])
    height = np.concatenate([np.full(len(b), 1e4), np.full(len(y), 2e4), np.full(int((double > 300).sum()), 5e3)])
    kept = (rng.random(len(mz)) < _KEPT) & (mz > 60)
    mz = mz[kept] * (1 + rng.normal(0, _PPM / 2, int(kept.sum())) * 1e-6)
    noise = rng.uniform(80, peptide.mass, _NOISE)
    intensity = np.concatenate([height[kept] * rng.lognormal(0, 0.7, len(mz)), 1e3 * rng.lognormal(0, 0.7, _NOISE)])
    return np.concatenate([mz, noise]), intensity
