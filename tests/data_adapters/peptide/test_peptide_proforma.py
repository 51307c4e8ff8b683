"""Peptides are parsed from every tool's notation with the reference's masses, or rejected with the reason."""

import csv
import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyteomics import proforma

from transect.data_adapters.peptide.peptide import AMINO_ACID_MASS, REFERENCE_MASS, Peptide
from transect.data_adapters.peptide.proforma import UnknownResidue, parse_peptide

FULL = "[Acetyl]-AC[Carbamidomethyl]M[Oxidation]N[Deamidated]Q[Deamidated]IK"


@pytest.mark.parametrize(
    "text",
    [
        "+42.011AC+57.021M+15.995N+0.984Q+0.984IK",
        "(+42.01)AC(+57.02)M(+15.99)N(+.98)Q(+.98)IK",
        "A(+42.01)C(+57.02)M(+15.99)N(+.98)Q(+.98)IK",
        "[UNIMOD:1]AC[UNIMOD:4]M[UNIMOD:35]N[UNIMOD:7]Q[UNIMOD:7]IK",
        "[UNIMOD:1]-AC[UNIMOD:4]M[UNIMOD:35]N[UNIMOD:7]Q[UNIMOD:7]IK",
        "[+42.011]-AC[+57.021]M[+15.995]N[+0.984]Q[+0.984]IK",
        "+[42.011]AC[+57.021]M[+15.995]N[+.98]Q[+.98]IK",
        "[Acetyl]-AC[Carbamidomethyl]M[Oxidation]N[Deamidated]Q[Deamidated]IK/2",
        "[U:Acetyl]-AC[U:+57.021464]M[Oxidation|INFO:sure]N[Deamidation]Q[deamidated]IK",
        "(Acetylation)AC(Carbamidomethylation)M(Oxidation)N(Deamidation)Q(Deamidation)IK",
        "(+42.011),A,Cmod,Mmod,Nmod,Qmod,I,K",
        "[UNIMOD:1], A, C[UNIMOD:4], M[UNIMOD:35], N[UNIMOD:7], Q[UNIMOD:7], I, K",
        "K.+42.011AC+57.021M+15.995N+0.984Q+0.984IK.R",
        "-.+42.011AC+57.021M+15.995N+0.984Q+0.984IK.-",
    ],
)
def test_every_spelling_is_the_same_peptide(text):
    peptide = parse_peptide(text)
    assert peptide.proforma == FULL
    assert peptide.masses == tuple({**AMINO_ACID_MASS, **REFERENCE_MASS}[residue] for residue in peptide.residues)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PEPTIDE", "PEPTIDE"),
        ("+43.006-17.027QK", "[+25.980265]-QK"),
        ("-17.027+43.006QK", "[+25.980265]-QK"),
        ("[+43.006-17.027]-QK", "[+25.980265]-QK"),
        ("[Formula:H-2C1O1]-QK", "[+25.980265]-QK"),
        ("[+25.980265]-QK", "[+25.980265]-QK"),
        ("[+43.006]-NKYD+[43.006]KR", "[Carbamyl]-NKYD[+43.006]KR"),
        ("[-17.026549]-QC[Carbamidomethyl]K", "[Ammonia-loss]-QC[Carbamidomethyl]K"),
        ("[UNIMOD:385]-NK", "[Ammonia-loss]-NK"),
        ("[UNIMOD:28]-QK", "[Ammonia-loss]-QK"),
        ("Q[Gln->pyro-Glu]K", "[Ammonia-loss]-QK"),
        ("Q(-17.03)K", "[Ammonia-loss]-QK"),
        ("S[+79.966331]T[UNIMOD:21]Y(Phosphorylation)", "S[Phospho]T[Phospho]Y[Phospho]"),
        ("K(+42.01)AK(+42.01)", "[Acetyl]-KAK[+42.01]"),
        ("K[+42.0106]A", "K[+42.0106]A"),
        ("W[Oxidation]M+31.99", "W[+15.994915]M[+31.99]"),
        ("PEK[+12.345000]", "PEK[+12.345]"),
        ("K[+4.5][+0.5]", "K[+5]"),
        ("[+229.163]-AK", "[+229.163]-AK"),
        ("JOU", "LOU"),
    ],
)
def test_modifications_are_named_where_they_are_known_and_kept_as_masses_elsewhere(text, expected):
    assert parse_peptide(text).proforma == expected


def test_a_plain_cysteine_and_small_letters_are_what_the_tool_means_by_them():
    assert parse_peptide("CMnqsty", fixed_cysteine=True, lower_case=True).proforma == (
        "C[Carbamidomethyl]MN[Deamidated]Q[Deamidated]S[Phospho]T[Phospho]Y[Phospho]"
    )
    assert parse_peptide("C(+57.02)C+57.021K", fixed_cysteine=True).proforma == "C[Carbamidomethyl]C[Carbamidomethyl]K"
    assert parse_peptide("C").masses == (AMINO_ACID_MASS["C"],)
    with pytest.raises(UnknownResidue, match="residue m has no mass"):
        parse_peptide("Km")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("PEXK", "residue X has no mass"),
        ("BZ", "residue B has no mass"),
        ("K[Foo]", "modification Foo is not known: write its mass"),
        ("M[16]", "modification 16 is not known: write its mass"),
        ("(245.14)PEK", "modification 245.14 is not known"),
        ("Kmod", "modification Kmod is not known"),
        ("K[Formula:Xx2]", "is no formula"),
        ("PEK-[Amidated]", "a modified C-terminus"),
    ],
)
def test_what_has_no_mass_is_refused_by_name(text, reason):
    with pytest.raises(UnknownResidue, match=reason):
        parse_peptide(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "an empty prediction"),
        (" , ", "an empty prediction"),
        ("[Acetyl]-", "has no residues"),
        ("+42.011-17.027AK", "two N-terminal modifications"),
        ("+42.011[Carbamyl]-AK", "two N-terminal modifications"),
        ("PEP<unk>K", "'<' where a residue should be"),
        ("PEP7", "'7' where a residue should be"),
        ("K[Acetyl", "where a residue should be"),
        ("G-58.0K", "a mass of -0.979 Da"),
        ("[-500]-GK", "no residues"),
        ("[+9999999]-GK", "where a residue should be"),
        ("A" * 2001, "longer than 2000"),
    ],
)
def test_what_is_no_peptide_is_refused_with_the_reason(text, reason):
    with pytest.raises(ValueError, match=reason.replace("[", r"\[")) as caught:
        parse_peptide(text)
    assert not isinstance(caught.value, UnknownResidue)


_deltas = st.floats(100, 500).map(lambda value: f"[{value:+.6f}]")
_residues = st.tuples(st.sampled_from(sorted(AMINO_ACID_MASS)), st.one_of(st.just(""), _deltas)).map("".join)


@settings(deadline=None)
@given(st.lists(_residues, min_size=1, max_size=30).map("".join), st.one_of(st.just(""), _deltas.map("{}-".format)))
def test_masses_are_those_of_pyteomics(residues, terminus):
    """To rounding of each residue; threonine has the mass of the published models' vocabulary, 8.2e-6 Da too small."""
    peptide = parse_peptide(terminus + residues)
    rounding = 1e-6 * (len(peptide.residues) + 1) + 8.2e-6 * residues.count("T")
    assert peptide.mass == pytest.approx(proforma.ProForma.parse(terminus + residues).mass, abs=rounding)


@settings(deadline=None)
@given(st.text(st.characters() | st.sampled_from("[]()+-.,/ 0123456789ACMmod"), max_size=40))
def test_any_text_is_a_peptide_that_reads_back_or_is_refused(text):
    try:
        peptide = parse_peptide(text)
    except ValueError:
        return
    again = parse_peptide(peptide.proforma)
    assert again.residues == peptide.residues
    assert again.masses == pytest.approx(peptide.masses, abs=1e-6)


def test_every_peptide_of_six_tools_reads_back(shared_file):
    with gzip.open(shared_file("data/peptide/simulated/semisyn_candidates.jsonl.gz"), "rt") as file:
        texts = {text for line in file for text in json.loads(line).values() if isinstance(text, str)}
    assert len(texts) > 15_000
    for text in texts:
        peptide = parse_peptide(text)
        again = parse_peptide(peptide.proforma)
        assert again == Peptide(peptide.residues, peptide.masses)


def test_masses_are_those_of_the_reference_implementation(fixtures):
    with (fixtures / "peptide/pmd_rmd.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    peptides = [(row[side], float(row[f"mass_{side}"])) for row in rows for side in ("query", "target")]
    peptides = [(text, mass) for text, mass in peptides if mass == mass]
    assert len(peptides) == 62
    for text, mass in peptides:
        assert parse_peptide(text).mass == pytest.approx(mass, abs=2e-6), text
