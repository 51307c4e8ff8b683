"""Parse peptide notations of de novo tools: mass shifts, names, Unimod accessions, ProForma 2.0.

`pyteomics.proforma` reads only ProForma, rejects `[+43.006-17.027]-`, needs a Unimod file for names and takes some
hundred microseconds per peptide; a run has a million. Here one regular expression tokenizes all notations, and parsed
residues are cached.
"""

import re
from functools import lru_cache

from transect.data_adapters.peptide.peptide import AMINO_ACID_MASS, MODIFICATIONS, REFERENCE_MASS, Peptide

TOLERANCE = 0.02
"""Maximum deviation of a written mass from that of a known modification, Da; tools write 0.98 and 57.02."""
LONGEST = 2000
"""Maximum number of characters of a peptide."""

_NUMBER = r"[+-](?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_PART = rf"\+?\[[^\[\]]*\]|\([^()]*\)|{_NUMBER}"
_TOKEN = re.compile(
    rf"\A(?:{_PART})+-?"  # a modified N-terminus
    rf"|[A-Za-z](?:mod|{_PART})*"  # a residue
    r"|-\[[^\[\]]*\]\Z"  # a modified C-terminus
    r"|.",
    re.DOTALL,
)
_PARTS = re.compile(rf"mod|{_PART}")
_NUMBERS = re.compile(_NUMBER)
_SHIFTS = re.compile(rf"(?:{_NUMBER})+")
_FLANKED = re.compile(r"(?:[A-Z-]\.(?![0-9]))?(.*?)(?:\.[A-Z-])?", re.DOTALL)
_CHARGE = re.compile(r"/-?[0-9]+\Z")

_KNOWN = {modification.name: modification for modification in MODIFICATIONS}
_ALIASES = {
    "carbamidomethylation": "Carbamidomethyl",
    "ox": "Oxidation",
    "deamidation": "Deamidated",
    "acetylation": "Acetyl",
    "carbamylation": "Carbamyl",
    "phosphorylation": "Phospho",
    "glnpyroglu": "Ammonia-loss",
    "pyrogluq": "Ammonia-loss",
    "28": "Ammonia-loss",
}
_NAMES = (
    {re.sub(r"[^a-z0-9]", "", name.lower()): m.delta for name, m in _KNOWN.items() if name[0].isalpha()}
    | {str(m.accession): m.delta for m in MODIFICATIONS if m.accession}
    | {alias: _KNOWN[name].delta for alias, name in _ALIASES.items()}
)
_MARKED = {"C": "Carbamidomethyl", "M": "Oxidation", "N": "Deamidated", "Q": "Deamidated"}  # DeepNovo's Cmod, Mmod, ...
_LOWER = {letter.lower(): f"{letter}[{name}]" for letter, name in _MARKED.items() if letter != "C"} | {
    letter: f"{letter.upper()}[Phospho]" for letter in "sty"
}
_LOSS = _KNOWN["Ammonia-loss"].delta
_PAIR = _KNOWN["+25.980265"]  # carbamyl and ammonia loss, the only two that share an N-terminus


class UnknownResidue(ValueError):
    """A residue or a modification of unknown mass."""


def parse_peptide(text: str, *, fixed_cysteine: bool = False, lower_case: bool = False) -> Peptide:
    """Parse a peptide.

    Supported are mass shifts (`+42.011AC+57.021`), parentheses (`(+42.01)AC(+57.02)M(Oxidation)`), brackets with names,
    Unimod accessions, formulas or masses (`[Acetyl]-AC[UNIMOD:4]M[+15.995]`), DeepNovo's `Cmod`, tokens separated by
    commas or spaces, flanking residues as in `K.PEPTIDE.R` and a charge as in `PEPTIDE/2`. A mass within `TOLERANCE` of
    a known modification of that residue becomes that modification; others are kept as masses. J is read as L.

    Args:
        text: The peptide in any of these notations.
        fixed_cysteine: An unmodified C means carbamidomethyl cysteine, as in PepNet, SMSNet and NovoB.
        lower_case: Lower case m is oxidised, n and q are deamidated, s, t and y phosphorylated.

    Raises:
        UnknownResidue: a residue or a modification has no known mass.
        ValueError: `text` is not a peptide; the message gives the reason.
    """
    if len(text) > LONGEST:
        raise ValueError(f"longer than {LONGEST} characters")
    if "/" in text:
        text = _CHARGE.sub("", text)
    if "," in text or not text.isprintable() or " " in text:
        text = "".join(text.replace(",", " ").split())
    if text[1:2] == "." or text[-2:-1] == ".":
        flanked = _FLANKED.fullmatch(text)
        text = flanked[1] if flanked else text
    tokens = _TOKEN.findall(text)
    if not tokens:
        raise ValueError("an empty prediction")
    elements = [_terminus(tokens.pop(0))] if tokens[0][0] in "[(+-" else _misplaced_terminus(tokens)
    elements += [_residue(token, fixed_cysteine, lower_case) for token in tokens]
    residues, masses = zip(*elements, strict=True)
    if not tokens or sum(masses) <= 0:
        raise ValueError(f"{text} has no residues")
    return Peptide(residues, masses)


def _misplaced_terminus(tokens: list[str]) -> list[tuple[str, float]]:
    """The N-terminal modification written after the first residue, as in PEAKS; it is removed from `tokens`."""
    letter, suffix = tokens[0][0], tokens[0][1:]
    if not suffix or letter not in AMINO_ACID_MASS:
        return []
    delta = sum(_deltas(suffix, letter))
    misplaced = suffix[0] == "(" or abs(delta - _LOSS) <= TOLERANCE
    if not misplaced or _name(delta, letter) or not _name(delta, "n"):
        return []
    tokens[0] = letter
    return [_terminus(suffix)]


@lru_cache(maxsize=1 << 16)
def _residue(token: str, fixed_cysteine: bool, lower_case: bool) -> tuple[str, float]:
    """A residue in ProForma and its mass."""
    if lower_case:
        token = _LOWER.get(token, token)
    if fixed_cysteine and token == "C":
        token = "C[Carbamidomethyl]"
    letter = "L" if token[0] == "J" else token[0]
    if token.startswith("-["):
        raise UnknownResidue(f"a modified C-terminus, {token}, is not read")
    if not letter.isalpha():
        raise ValueError(f"{token!r} where a residue should be")
    if letter not in AMINO_ACID_MASS:
        raise UnknownResidue(f"residue {letter} has no mass")
    delta = sum(_deltas(token[1:], letter))
    if abs(delta) < 1e-6:
        return letter, AMINO_ACID_MASS[letter]
    name = _name(delta, letter)
    spelling = f"{letter}[{name or _mass_text(delta)}]"
    mass = REFERENCE_MASS.get(spelling, AMINO_ACID_MASS[letter] + (_KNOWN[name].delta if name else delta))
    if not 0 < mass < 1e5:
        raise ValueError(f"residue {token} has a mass of {mass:.3f} Da")
    return spelling, mass


@lru_cache(maxsize=1 << 12)
def _terminus(token: str) -> tuple[str, float]:
    """A modified N-terminus in ProForma and its mass."""
    deltas = _deltas(token, "the N-terminus")
    if len(deltas) > 1 and abs(sum(deltas) - _PAIR.delta) > TOLERANCE:
        raise ValueError(f"two N-terminal modifications, {token}")
    delta = sum(deltas)
    name = _name(delta, "n")
    if abs(delta) > 1e5 or not deltas:
        raise ValueError(f"{token!r} where a residue should be")
    spelling = f"[{name or _mass_text(delta)}]-"
    return spelling, REFERENCE_MASS.get(spelling, delta)


def _name(delta: float, site: str) -> str:
    """The known modification of a residue, or of the N-terminus "n", with that mass; empty if there is none."""
    near = [(abs(delta - m.delta), m.name) for m in MODIFICATIONS if site in m.sites]
    distance, name = min(near, default=(TOLERANCE + 1, ""))
    return name if distance <= TOLERANCE else ""


def _deltas(suffix: str, letter: str) -> list[float]:
    """The masses of the modifications written after residue `letter`, Da."""
    deltas = []
    for part in _PARTS.findall(suffix):
        content = part.removeprefix("+").strip("[]()") if part[-1] in "])" else part
        if part.startswith("+[") and content[:1].isdigit():
            content = f"+{content}"
        label, colon, rest = content.partition("|")[0].partition(":")
        if part == "mod":
            if letter not in _MARKED:
                raise UnknownResidue(f"modification {letter}mod is not known: write its mass")
            deltas.append(_KNOWN[_MARKED[letter]].delta)
        elif _SHIFTS.fullmatch(value := rest if colon else label):
            deltas += [float(number) for number in _NUMBERS.findall(value)]
        elif label == "Formula":
            deltas.append(_formula_mass(rest))
        else:
            deltas.append(_named_delta(content, value, bool(colon)))
    return deltas


def _named_delta(content: str, name: str, labelled: bool) -> float:
    key = re.sub(r"[^a-z0-9]", "", name.lower())
    if key not in _NAMES or (key.isdigit() and not labelled):
        raise UnknownResidue(f"modification {content} is not known: write its mass with its sign")
    return _NAMES[key]


def _formula_mass(formula: str) -> float:
    from pyteomics import auxiliary, mass

    try:
        return float(mass.calculate_mass(formula=formula))
    except (auxiliary.PyteomicsError, ValueError, OverflowError) as error:
        raise UnknownResidue(f"modification Formula:{formula} is no formula: write its mass") from error


def _mass_text(delta: float) -> str:
    return f"{delta:+.6f}".rstrip("0").rstrip(".")
