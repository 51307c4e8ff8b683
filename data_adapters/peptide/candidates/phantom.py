"""Write proposals of simulated de novo tools in the formats of real ones."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transect.data_adapters.peptide.peptide import AMINO_ACID_MASS, REFERENCE_MASS, Peptide
from transect.data_adapters.peptide.results.rows import modifications_of


@dataclass(frozen=True)
class Proposal:
    """A peptide that a tool proposes for a spectrum, which is given by index, scan, charge and measured precursor."""

    index: int
    scan: int
    charge: int
    precursor_mz: float
    peptide: Peptide
    score: float

    @property
    def title(self) -> str:
        """The spectrum's title."""
        return f"controllerType=0 controllerNumber=1 scan={self.scan}"

    @property
    def error_ppm(self) -> float:
        """Relative precursor m/z error, (measured - theoretical) / theoretical in ppm."""
        return (self.precursor_mz / self.peptide.mz(self.charge) - 1) * 1e6


@dataclass(frozen=True)
class PhantomTool:
    """A simulated tool: the suffix of its files, and the function of run name and proposals that formats them."""

    name: str
    text: Callable[[str, Sequence[Proposal]], str]


def _casanovo(run: str, proposals: Sequence[Proposal]) -> str:
    """Casanovo 5: mzTab by index, with a ProForma column."""
    columns = (
        "sequence PSM_ID accession unique database database_version search_engine search_engine_score[1] modifications "
        "retention_time charge exp_mass_to_charge calc_mass_to_charge spectra_ref pre post start end "
        "opt_global_aa_scores opt_global_cv_MS:1003169_proforma_peptidoform_sequence"
    )
    engine = "[MS, MS:1003281, Casanovo, 5.2.1]"
    lines = [
        "MTD\tmzTab-version\t1.0.0",
        "MTD\tmzTab-mode\tSummary",
        "MTD\tmzTab-type\tIdentification",
        f"MTD\tdescription\tCasanovo identification file {run}",
        f"MTD\tsoftware[1]\t{engine}",
        "MTD\tpsm_search_engine_score[1]\t[MS, MS:1001143, search engine specific score for PSMs, ]",
        "MTD\tfixed_mod[1]\t[MS, MS:1002453, No fixed modifications searched, ]",
        "MTD\tvariable_mod[1]\t[MS, MS:1002454, No variable modifications searched,]",
        f"MTD\tms_run[1]-location\tfile:///data/{run}.mgf",
        "PSH\t" + columns.replace(" ", "\t"),
    ]
    for number, psm in enumerate(proposals, 1):
        peptide = psm.peptide
        modifications = ",".join(f"{position}-{identifier}" for position, identifier, *_ in modifications_of(peptide))
        cells = (
            *(
                peptide.sequence,
                number,
                *["null"] * 4,
                engine,
                f"{psm.score:.6f}",
                modifications or "null",
                "null",
            ),
            *(
                psm.charge,
                psm.precursor_mz,
                f"{peptide.mz(psm.charge):.6f}",
                f"ms_run[1]:index={psm.index}",
                *["null"] * 4,
            ),
            *(_residue_scores(psm, ","), peptide.proforma),
        )
        lines.append("PSM\t" + "\t".join(map(str, cells)))
    return "\n".join(lines) + "\n"


def _primenovo(run: str, proposals: Sequence[Proposal]) -> str:
    """A table by title, with masses in brackets."""
    rows = [f"{psm.title}\t{_shifted(psm.peptide, '[{}]')}\t{psm.charge}\t{psm.score:.6f}" for psm in proposals]
    return "\n".join(["label\tprediction\tcharge\tscore", *rows]) + "\n"


def _helixnovo(run: str, proposals: Sequence[Proposal]) -> str:
    """A table by title without a header, with bare masses."""
    return "".join(f"{psm.title}\t{_shifted(psm.peptide, '{}')}\t{psm.score:.2f}\n" for psm in proposals)


def _instanovo(run: str, proposals: Sequence[Proposal]) -> str:
    """InstaNovo 1: CSV by scan, with Unimod accessions and natural logarithms of probabilities."""
    lines = [
        "scan_number,spectrum_id,precursor_mz,precursor_charge,predictions,predictions_tokenised,log_probs,"
        "token_log_probs,delta_mass_ppm"
    ]
    for psm in proposals:
        tokens = [_unimod(residue) for residue in psm.peptide.residues]
        log = math.log(psm.score)
        logs = ", ".join([f"{log / len(tokens):.4f}"] * len(tokens))
        lines.append(
            f'{psm.scan},{run}:{psm.scan},{psm.precursor_mz:.5f},{psm.charge},{"".join(tokens)},"{", ".join(tokens)}",'
            f'{log:.4f},"[{logs}]",{psm.error_ppm:.2f}'
        )
    return "\n".join(lines) + "\n"


def _pepnet(run: str, proposals: Sequence[Proposal]) -> str:
    """A table by title without modifications; every cysteine is carbamidomethylated, other peptides are left out."""
    plain = [psm for psm in proposals if {name for *_, name, _ in modifications_of(psm.peptide)} <= {"Carbamidomethyl"}]
    rows = [
        f"{psm.title}\t{psm.peptide.sequence}\t{psm.score:.4f}\t{psm.error_ppm:.4f}\t[{_residue_scores(psm, ', ')}]"
        for psm in plain
    ]
    return "\n".join(["TITLE\tDENOVO\tScore\tPPM Difference\tPositional Score", *rows]) + "\n"


TOOLS = (
    PhantomTool("casanovo.mztab", _casanovo),
    PhantomTool("primenovo.tsv", _primenovo),
    PhantomTool("helixnovo.tsv", _helixnovo),
    PhantomTool("instanovo.csv", _instanovo),
    PhantomTool("pepnet.tsv", _pepnet),
)
"""All simulated tools, each with a different dialect."""


def _shifted(peptide: Peptide, spelling: str) -> str:
    """The peptide with modification masses of three decimals, formatted by `spelling`."""
    written = []
    for residue in peptide.residues:
        letter = "" if residue[0] == "[" else residue[0]
        mass = REFERENCE_MASS.get(residue, 0.0) - AMINO_ACID_MASS.get(letter, 0.0)
        modified = residue in REFERENCE_MASS
        terminal = "-" if modified and not letter and spelling[0] == "[" else ""
        written.append(letter + (spelling.format(f"{mass:+.3f}") if modified else "") + terminal)
    return "".join(written)


def _unimod(residue: str) -> str:
    accessions = {"Carbamidomethyl": 4, "Oxidation": 35, "Acetyl": 1}
    return re.sub(r"\[(\w+)\](-?)", lambda found: f"[UNIMOD:{accessions[found[1]]}]", residue)


def _residue_scores(psm: Proposal, separator: str) -> str:
    return separator.join([f"{psm.score:.5f}"] * len(psm.peptide.residues))
