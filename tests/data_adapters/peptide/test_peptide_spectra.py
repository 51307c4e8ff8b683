"""Spectra of MGF, mzML and mzXML: real files, damaged files, and resource limits."""

import base64
import gzip
import math
import resource
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyteomics import mgf, mzml, mzxml

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.config import PhantomConfig
from transect.data_adapters.peptide.phantom import write_phantom
from transect.data_adapters.peptide.spectra import mgf as our_mgf
from transect.data_adapters.peptide.spectra import source
from transect.data_adapters.peptide.spectra.read import read_labels, read_spectra
from transect.data_adapters.peptide.spectrum import Spectrum

BLOCK = (
    "BEGIN IONS\nTITLE={0}\nPEPMASS=400.5 9.0\nCHARGE=2+\nSCANS={0}\nRTINSECONDS=7.5\n100.5 3\n200.25 4.5\nEND IONS\n"
)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], str]:
    def written(content: str | bytes, name: str = "run.mgf") -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return written


def one(text: str, write: Callable[..., str]) -> Spectrum:
    [spectrum] = read_spectra(write(f"BEGIN IONS\n{text}\nEND IONS\n"))
    return spectrum


def until_bad(path: str) -> tuple[list[Spectrum], str]:
    """The spectra that are read before the error, and the message."""
    found: list[Spectrum] = []
    with pytest.raises(BadInput) as raised:
        found.extend(read_spectra(path))
    return found, str(raised.value)


def peak_bytes() -> int:
    """Peak memory of this process, including C libraries."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def summary(spectra: list[Spectrum]) -> list[tuple[object, ...]]:
    return [(s.index, s.scan, s.charge, round(s.precursor_mz, 4), len(s.mz), s.problem) for s in spectra]


# Real files


def test_real_mgf_is_what_pyteomics_reads(fixtures: Path, shared_file):
    files = (
        fixtures / "peptide" / "depthcharge" / "TMT10-Trial-8.mgf",
        shared_file("data/peptide/casanovo/sample_preprocessed_spectra.mgf"),
    )
    for path in map(str, files):
        ours, theirs = list(read_spectra(path)), list(mgf.read(path, use_index=False))
        assert [s.index for s in ours] == list(range(len(theirs)))
        for got, want in zip(ours, theirs, strict=True):
            said = want["params"]
            assert got.title == said["title"]
            assert got.retention_time == said["rtinseconds"]
            assert got.precursor_mz == said["pepmass"][0]
            assert [got.charge] == said.get("charge", [0])
            if "charge" in said:
                np.testing.assert_array_equal(got.mz, want["m/z array"])
                np.testing.assert_array_equal(got.intensity, want["intensity array"].astype(np.float32))
            else:
                assert got.problem == "no charge"


def test_real_mzml_and_mzxml_agree_with_each_other_and_with_pyteomics(fixtures: Path):
    folder = fixtures / "peptide" / "depthcharge"
    from_mzml, from_mzxml = (
        list(read_spectra(str(folder / f"TMT10-Trial-8.{ending}"))) for ending in ("mzML", "mzXML")
    )
    assert summary(from_mzml) == summary(from_mzxml)
    assert summary(from_mzml) == [
        (1, "501", 3, 804.775, 118, ""),
        (2, "502", 2, 748.61, 0, "MS3 spectrum"),
        (4, "504", 2, 1001.6693, 76, ""),
        (5, "505", 0, 914.368, 0, "MS3 spectrum"),
        (7, "507", 3, 1047.6174, 62, ""),
        (8, "508", 2, 962.857, 0, "MS3 spectrum"),
        (10, "510", 3, 800.4349, 107, ""),
    ]
    want = list(mzml.read(str(folder / "TMT10-Trial-8.mzML"), use_index=False))
    old = {int(scan["num"]): scan for scan in mzxml.read(str(folder / "TMT10-Trial-8.mzXML"), use_index=False)}
    for got, other in zip(from_mzml, from_mzxml, strict=True):
        if got.problem:
            continue
        for spectrum, reference in ((got, want[got.index]), (other, old[int(got.scan)])):
            np.testing.assert_array_equal(spectrum.mz, reference["m/z array"])
            np.testing.assert_array_equal(spectrum.intensity, reference["intensity array"].astype(np.float32))
            assert spectrum.mz.dtype == np.float64
            assert spectrum.intensity.dtype == np.float32
        assert got.retention_time == pytest.approx(60 * want[got.index]["scanList"]["scan"][0]["scan start time"])
        assert other.retention_time == pytest.approx(got.retention_time, abs=1e-3)
        assert got.title == f"controllerType=0 controllerNumber=1 scan={got.scan}"


def test_labels_of_real_files_are_read_with_and_without_peaks(shared_file):
    for name, count in (("casanovo/sample_preprocessed_spectra.mgf", 128), ("simulated/semisyn_3000_on.mgf.gz", 6000)):
        path = str(shared_file(f"data/peptide/{name}"))
        spectra = list(read_spectra(path))
        assert len(spectra) == count
        assert {spectrum.problem for spectrum in spectra if spectrum.label is None} <= {"no peaks"}
        assert [spectrum.label for spectrum in spectra] == list(read_labels(path))


# MGF


def test_a_block_says_everything(write):
    [spectrum] = read_spectra(write(BLOCK.format(3000)))
    assert (spectrum.index, spectrum.scan, spectrum.title, spectrum.problem) == (0, "3000", "3000", "")
    assert (spectrum.precursor_mz, spectrum.charge, spectrum.retention_time) == (400.5, 2, 7.5)
    assert spectrum.mz.tolist() == [100.5, 200.25]
    assert spectrum.intensity.tolist() == [3, 4.5]
    assert spectrum.mz.flags.c_contiguous
    assert spectrum.label is None


@pytest.mark.parametrize(
    ("said", "scan"),
    [
        ("SCANS=F1:2478", "F1:2478"),
        ("SCANS=3000-3004", "3000-3004"),
        ("TITLE=controllerType=0 controllerNumber=1 scan=17", "17"),
        ("TITLE=run.501.501.3", "501"),
        ("TITLE=run.505.505.", "505"),
        ("TITLE=run.501.502.3", ""),
        ("TITLE=a scan", ""),
        ("TITLE=scan=17\nSCANS=18", "18"),
    ],
)
def test_scans_come_from_their_key_or_the_title(write, said, scan):
    assert one(f"{said}\nPEPMASS=400\nCHARGE=2+\n100 1", write).scan == scan


@pytest.mark.parametrize(
    ("charge", "expected", "problem"),
    [
        ("CHARGE=3+", 3, ""),
        ("CHARGE=3", 3, ""),
        ("CHARGE=+3", 3, ""),
        ("CHARGE=2+ and 3+", 0, "several possible charges: 2, 3"),
        ("CHARGE=2+,3+ and 4+", 0, "several possible charges: 2, 3, 4"),
        ("CHARGE=2-", 0, "negative charge"),
        ("CHARGE=0", 0, "no charge"),
        ("CHARGE=", 0, "no charge"),
        ("", 0, "no charge"),
        ("PEPMASS=400 1e5 4+", 4, ""),
    ],
)
def test_charges(write, charge, expected, problem):
    spectrum = one(f"PEPMASS=400\n{charge}\n100 1", write)
    assert (spectrum.charge, spectrum.problem) == (expected, problem)


def test_what_stands_before_the_blocks_holds_for_those_without_their_own(write):
    text = "COM=a search\n# CHARGE=7+\nCHARGE=3+\n\nBEGIN IONS\nPEPMASS=400\n100 1\nEND IONS\n" + BLOCK.format(1)
    assert [spectrum.charge for spectrum in read_spectra(write(text))] == [3, 2]


@pytest.mark.parametrize(
    ("peaks", "problem"),
    [
        ("", "no peaks"),
        ("100 1\n200 nan", "a peak that is not a finite number"),
        ("100 1\ninf 2", "a peak that is not a finite number"),
        ("100 1e300", "a peak that is not a finite number"),
        ("100 -1", "a peak below zero"),
        ("-100 1", "a peak below zero"),
        ("0 1", "a peak below zero"),
    ],
)
def test_peaks_that_cannot_be(write, peaks, problem):
    spectrum = one(f"PEPMASS=400\nCHARGE=2+\n{peaks}", write)
    assert spectrum.problem == problem
    assert len(spectrum.mz) == len(spectrum.intensity) == 0


@pytest.mark.parametrize("precursor", ["", "PEPMASS=", "PEPMASS=0", "PEPMASS=nan", "PEPMASS=-400 2", "PEPMASS=inf"])
def test_a_spectrum_without_a_precursor(write, precursor):
    spectrum = one(f"{precursor}\nCHARGE=2+\n100 1", write)
    assert spectrum.problem == "no precursor m/z"
    assert math.isnan(spectrum.precursor_mz)


def test_peaks_are_sorted_with_their_intensities_and_a_column_of_charges_is_passed_over(write):
    spectrum = one("PEPMASS=400\nCHARGE=2+\n\n200.5 1 2+\n; a comment\n100.5\t2\t1+\n  150 3 1+", write)
    assert spectrum.problem == ""
    assert spectrum.mz.tolist() == [100.5, 150, 200.5]
    assert spectrum.intensity.tolist() == [2, 3, 1]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("BEGIN IONS\nTITLE=x\nSCANS=5\nPEPMASS=400\nCHARGE=2+\n100 word\nEND IONS\n", "malformed: "),
        ("BEGIN IONS\nTITLE=x\nSCANS=5\nPEPMASS=400\nCHARGE=2+\n100\nEND IONS\n", "malformed: "),
        ("BEGIN IONS\nTITLE=x\nSCANS=5\nPEPMASS=400\nCHARGE=2+\n100 1\n", "malformed: no END IONS"),
        ("BEGIN IONS\nTITLE=x\nSCANS=5\nPEPMASS=word\nCHARGE=2+\n100 1\nEND IONS\n", "malformed: "),
        ("BEGIN IONS\nTITLE=x\nSCANS=5\nPEPMASS=400\nCHARGE=word\n100 1\nEND IONS\n", "malformed: "),
        ("BEGIN IONS\nTITLE=x\nSCANS=5\n\x00\x01\xff\x80 \x02\nEND IONS\n", "malformed: "),
        ("BEGIN IONS\nTITLE=x\nSCANS=5\nEND IONS\n", "no precursor m/z"),
    ],
)
def test_a_malformed_block_counts_and_harms_no_other(write, damage, reason):
    before, bad, after = read_spectra(write(BLOCK.format(1) + damage + BLOCK.format(2)))
    assert [(s.index, s.scan, s.problem) for s in (before, after)] == [(0, "1", ""), (2, "2", "")]
    assert (bad.index, bad.scan, bad.title) == (1, "5", "x")
    assert bad.problem.startswith(reason)
    assert "\n" not in bad.problem


def test_a_block_within_a_block_begins_the_next_spectrum(write):
    nested = "BEGIN IONS\nPEPMASS=1\n100 1\n" + BLOCK.format(8)
    assert [(s.index, s.scan, s.problem) for s in read_spectra(write(nested))] == [
        (0, "", "malformed: no END IONS"),
        (1, "8", ""),
    ]


def test_words_elsewhere_on_a_line_begin_no_block(write):
    text = BLOCK.format(1).replace("TITLE=1", "TITLE=about BEGIN IONS and END IONS")
    [spectrum] = read_spectra(write("about BEGIN IONS\n" + text))
    assert spectrum.title == "about BEGIN IONS and END IONS"


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_line_ends_marks_and_spaces_of_other_systems(write, ends):
    text = ("\ufeff" + (BLOCK.format(1) + "  BEGIN IONS  \n" + BLOCK.format(2)[11:])).replace("\n", ends)
    spectra = list(read_spectra(write(text)))
    assert [(s.scan, s.problem, len(s.mz)) for s in spectra] == [("1", "", 2), ("2", "", 2)]


def test_a_range_of_times_is_read_as_its_beginning(write):
    text = "PEPMASS=400\nCHARGE=2+\nRTINSECONDS={}\n100 1"
    times = [one(text.format(time), write).retention_time for time in ("60.5-62", "60.5, 61", ".5", "soon")]
    assert times[:3] == [60.5, 60.5, 0.5]
    assert math.isnan(times[3])


def test_labels_and_unreadable_labels(write):
    blocks = [
        BLOCK.format(at).replace("100.5 3", f"SEQ={label}\n100.5 3") for at, label in enumerate(("PEPTIDE", "P?"))
    ]
    spectra = list(read_spectra(write("".join(blocks))))
    assert [s.label and s.label.proforma for s in spectra] == ["PEPTIDE", None]
    assert [s.problem for s in spectra] == ["", ""]


@pytest.mark.parametrize("cut", [1, 5, 9, 30, 60])
def test_a_file_that_ends_within_a_spectrum_is_cut_off(write, cut):
    found, message = until_bad(write((BLOCK.format(1) + BLOCK.format(2))[:-cut].rstrip("S\n")))
    assert [s.scan for s in found] == ["1"]
    assert "spectrum 1: found the end of the file, expected END IONS" in message


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "found nothing"),
        (b" \n\n", "found nothing"),
        (b"words\n" * 99, "found no BEGIN IONS"),
        (bytes(range(256)) * 9, "found no BEGIN IONS"),
        (b"<html><body>404</body></html>", "found XML that begins with '<html>"),
        (gzip.compress(b"", mtime=0), "found nothing"),
        (b"\x1f\x8b", "gzip: found"),
        (b"\x1f\x8bwords", "gzip: found"),
    ],
)
def test_what_is_no_file_of_spectra_is_told_at_once(write, content, found):
    spectra, message = until_bad(write(content))
    assert not spectra
    assert found in message
    assert "run.mgf" in message


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path):
    for path in (tmp_path / "gone.mgf", tmp_path):
        with pytest.raises(BadInput, match=f"{path.name}: file: found"):
            read_spectra(str(path))


def test_blocks_are_found_across_the_borders_of_chunks(write, monkeypatch):
    path = write("".join(BLOCK.format(at) for at in range(40)))
    whole = summary(list(read_spectra(path)))
    for size in (1, 7, 64, 101):
        monkeypatch.setattr(our_mgf, "CHUNK", size)
        assert summary(list(read_spectra(path))) == whole


# Compression and size


@pytest.mark.parametrize("ending", ["mgf", "mzML", "mzXML"])
def test_gzip_is_told_from_the_content(fixtures: Path, write, ending):
    plain = fixtures / "peptide" / "depthcharge" / f"TMT10-Trial-8.{ending}"
    content = gzip.compress(plain.read_bytes())
    for name in (f"run.{ending}.gz", f"run.{ending}"):
        assert summary(list(read_spectra(write(content, name)))) == summary(list(read_spectra(str(plain))))


@pytest.mark.parametrize(("ending", "share"), [("mgf", 0.5), ("mzML", 0.1), ("mzXML", 0.5)])
@pytest.mark.parametrize("compressed", [False, True])
def test_what_stands_before_the_cut_is_read(fixtures: Path, write, ending, share, compressed):
    content = (fixtures / "peptide" / "depthcharge" / f"TMT10-Trial-8.{ending}").read_bytes()
    whole = summary(list(read_spectra(write(content))))
    packed = gzip.compress(content, mtime=0) if compressed else content
    found, message = until_bad(write(packed[: int(len(packed) * share)], "half"))
    assert 1 < len(found) < len(whole)
    assert summary(found) == whole[: len(found)]
    assert "half" in message


def test_a_byte_flipped_in_compressed_data_does_not_go_unseen(fixtures: Path, write):
    content = (fixtures / "peptide" / "depthcharge" / "TMT10-Trial-8.mzXML").read_bytes()
    packed = bytearray(gzip.compress(content, compresslevel=0, mtime=0))
    packed[len(packed) // 2] ^= 1
    assert "gzip: found crc check failed" in until_bad(write(bytes(packed)))[1]


@pytest.mark.parametrize(
    ("start", "repeated"),
    [
        (b"", b"\0"),
        (BLOCK.encode() + b"BEGIN IONS\n", b"1"),
        (BLOCK.encode() + b"BEGIN IONS\n", b"100.5 1\n"),
        (b'<mzML xmlns="http://psi.hupo.org/ms/mzml"><run>', b"<a/>"),
        (b'<mzML xmlns="http://psi.hupo.org/ms/mzml"><run><spectrumList><spectrum id="', b"9"),
        (b"<mzXML><msRun><scan><peaks>", b"AAAA"),
        (b"<mzXML><msRun><scan>", b"<precursorMz/>"),
    ],
)
def test_a_bomb_takes_little_memory(write, monkeypatch, start, repeated):
    monkeypatch.setattr(our_mgf, "LARGEST", 1 << 21)
    monkeypatch.setattr(source, "LONGEST", 1 << 21)
    path = write(gzip.compress(start + repeated * ((1 << 26) // len(repeated)), compresslevel=1))
    before = peak_bytes()
    until_bad(path)
    assert peak_bytes() - before < 1 << 26


def test_an_array_that_inflates_to_more_than_it_tells_is_not_inflated(write):
    bomb = base64.b64encode(zlib.compress(bytes(1 << 27), 1)).decode()
    peaks = f'<peaks compressionType="zlib" precision="32" byteOrder="network">{bomb}</peaks>'
    text = f'<mzXML><msRun><scan num="1" msLevel="2" peaksCount="2">{PRECURSOR}{peaks}</scan></msRun></mzXML>'
    path = write(text)
    tracemalloc.start()
    [spectrum] = read_spectra(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert spectrum.problem == "17 bytes of peaks where 4 peaks have 16"
    assert peak < 1 << 25


# mzML and mzXML

PRECURSOR = '<precursorMz precursorCharge="2">400.5</precursorMz>'


def packed(values: list[float], dtype: str, compress: bool = False) -> str:
    content = np.array(values, dtype).tobytes()
    return base64.b64encode(zlib.compress(content) if compress else content).decode()


def cv(accession: str, value: object = "", more: str = "") -> str:
    return f'<cvParam cvRef="MS" accession="{accession}" value="{value}"{more}/>'


def mzml_spectrum(
    ion: str = cv("MS:1000744", 400.5) + cv("MS:1000041", 2),
    identifier: str = "scan=7",
    level: str = cv("MS:1000511", 2),
) -> str:
    arrays = "".join(
        f"<binaryDataArray>{cv('MS:1000521')}{cv(compression)}{cv(kind)}<binary>{content}</binary></binaryDataArray>"
        for kind, compression, content in (
            ("MS:1000514", "MS:1000574", packed([200.5, 100.5], "<f4", True)),
            ("MS:1000515", "MS:1000576", packed([1, 2], "<f4")),
        )
    )
    time = cv("MS:1000016", 30, ' unitAccession="UO:0000010"')
    return (
        f'<spectrum id="{identifier}" defaultArrayLength="2">{level}'
        f"<scanList><scan>{time}</scan></scanList>"
        f"<precursorList><precursor><selectedIonList><selectedIon>{ion}</selectedIon></selectedIonList></precursor>"
        f"</precursorList><binaryDataArrayList>{arrays}</binaryDataArrayList></spectrum>"
    )


def mzml_file(*spectra: str, before: str = "") -> str:
    return (
        f'<?xml version="1.0"?><indexedmzML xmlns="http://psi.hupo.org/ms/mzml"><mzML>{before}<run>'
        f"<spectrumList>{''.join(spectra)}</spectrumList></run></mzML></indexedmzML>"
    )


def test_mzml_in_seconds_with_zlib_and_single_precision(write):
    [spectrum] = read_spectra(write(mzml_file(mzml_spectrum())))
    assert (spectrum.scan, spectrum.retention_time, spectrum.problem) == ("7", 30, "")
    assert (spectrum.precursor_mz, spectrum.charge) == (400.5, 2)
    assert spectrum.mz.tolist() == [100.5, 200.5]
    assert spectrum.intensity.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("ion", "charge", "problem"),
    [
        (cv("MS:1000744", 400.5) + cv("MS:1000633", 3), 3, ""),
        (cv("MS:1000744", 400.5) + cv("MS:1000633", 2) + cv("MS:1000633", 3), 0, "several possible charges: 2, 3"),
        (cv("MS:1000744", 400.5) + cv("MS:1000633", 2) + cv("MS:1000041", 4), 4, ""),
        (cv("MS:1000744", 400.5), 0, "no charge"),
        (cv("MS:1000744", 400.5) + cv("MS:1000041", "word"), 0, "no charge"),
        (cv("MS:1000041", 2), 2, "no precursor m/z"),
        ("", 0, "no precursor m/z"),
    ],
)
def test_mzml_charges(write, ion, charge, problem):
    [spectrum] = read_spectra(write(mzml_file(mzml_spectrum(ion))))
    assert (spectrum.charge, spectrum.problem) == (charge, problem)


def test_mzml_groups_of_params_are_followed_to_where_they_stand(write):
    groups = (
        "<referenceableParamGroupList>"
        f'<referenceableParamGroup id="ms2">{cv("MS:1000511", 2)}</referenceableParamGroup>'
        f'<referenceableParamGroup id="ion">{cv("MS:1000041", 5)}</referenceableParamGroup>'
        "</referenceableParamGroupList>"
    )
    refer = '<referenceableParamGroupRef ref="{}"/>'
    spectrum = mzml_spectrum(cv("MS:1000744", 400.5) + refer.format("ion"), level=refer.format("ms2"))
    survey = mzml_spectrum(level=cv("MS:1000511", 1))
    [found] = read_spectra(write(mzml_file(survey, spectrum, before=groups)))
    assert (found.index, found.charge, found.problem) == (1, 5, "")


@pytest.mark.parametrize(
    ("identifier", "scan"),
    [
        ("controllerType=0 controllerNumber=1 scan=501", "501"),
        ("function=1 process=0 scan=3", "3"),
        ("scanId=12", "12"),
        ("index=4", ""),
        ("sample=1 period=1 cycle=2 experiment=3", ""),
    ],
)
def test_mzml_scans_come_from_native_identifiers(write, identifier, scan):
    [spectrum] = read_spectra(write(mzml_file(mzml_spectrum(identifier=identifier))))
    assert (spectrum.scan, spectrum.title) == (scan, identifier)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('defaultArrayLength="2"', 'defaultArrayLength="3"', "8 bytes of peaks where 3 peaks have 12"),
        ('defaultArrayLength="2"', 'defaultArrayLength="-1"', "-1 peaks"),
        ('defaultArrayLength="2"', f'defaultArrayLength="{10**18}"', f"{10**18} peaks"),
        ("MS:1000574", "MS:1002312", "peaks packed as MS-Numpress"),
        ("MS:1000574", "MS:1000576", "16 bytes of peaks where 2 peaks have 8"),
        ("MS:1000515", "MS:1000516", "2 m/z but 0 intensities"),
        ("<binary>", "<binary>!", "peaks that cannot be unpacked"),
    ],
)
def test_mzml_spectra_that_cannot_be_read_harm_no_other(write, old, new, problem):
    bad, good = read_spectra(write(mzml_file(mzml_spectrum().replace(old, new), mzml_spectrum(identifier="scan=8"))))
    assert bad.problem.startswith(problem) if problem else not bad.problem
    assert (good.index, good.scan, good.problem) == (1, "8", "")


def test_two_precursors_are_a_problem_in_both(write):
    mzml = mzml_spectrum(cv("MS:1000744", 400.5) + cv("MS:1000041", 2) + "</selectedIon><selectedIon>")
    scan = f'<scan num="1" msLevel="2" peaksCount="0">{PRECURSOR}{PRECURSOR}</scan>'
    for text in (mzml_file(mzml), f"<mzXML><msRun>{scan}</msRun></mzXML>"):
        assert [spectrum.problem for spectrum in read_spectra(write(text))] == ["2 precursors"]


def test_mzxml_scans_within_scans_count_in_the_order_in_which_they_begin(write):
    def scan(number: int, level: int, within: str = "") -> str:
        content = packed([200.5, 1, 100.5, 2], ">f8", compress=True)
        peaks = f'<peaks compressionType="zlib" precision="64" contentType="m/z-int">{content}</peaks>'
        said = f'num="{number}" msLevel="{level}" peaksCount="2" retentionTime="PT1M2.5S"'
        return f"<scan {said}>{PRECURSOR if level > 1 else ''}{peaks}{within}</scan>"

    scans = scan(10, 1, scan(11, 2, scan(12, 3)) + scan(13, 2)) + scan(20, 1) + scan(21, 2)
    spectra = list(read_spectra(write(f"<mzXML><msRun>{scans}</msRun><index><offset/></index></mzXML>")))
    assert [(s.index, s.scan, s.problem) for s in spectra] == [
        (1, "11", ""),
        (2, "12", "MS3 spectrum"),
        (3, "13", ""),
        (5, "21", ""),
    ]
    assert spectra[0].retention_time == 62.5
    assert spectra[0].mz.tolist() == [100.5, 200.5]
    assert spectra[0].intensity.tolist() == [2, 1]


@pytest.mark.parametrize("root", ["mzML", "mzXML"])
def test_entities_are_refused_before_they_are_expanded(write, tmp_path, root):
    (tmp_path / "secret").write_text("400.5")
    inside = "spectrumList" if root == "mzML" else "scan"
    for entity in ('"400.5"', f'SYSTEM "file://{tmp_path}/secret"'):
        body = f"<{inside}>{PRECURSOR.replace('400.5', '&e;')}</{inside}>"
        found, message = until_bad(write(f"<!DOCTYPE {root} [<!ENTITY e {entity}>]><{root}>{body}</{root}>"))
        assert not found
        assert "found a document type" in message
    laughs = "".join(f'<!ENTITY l{at} "' + f"&l{at - 1};" * 10 + '">' for at in range(1, 10))
    text = f'<!DOCTYPE {root} [<!ENTITY l0 "ha">{laughs}]><{root}><msRun><scan>&l9;</scan></msRun></{root}>'
    assert until_bad(write(text))[0] == []


@pytest.mark.parametrize("text", ["<mzML></mzML>", "<mzXML></mzXML>", "<mzML><run>", "<mzXML>" + "<scan>" * 500])
def test_xml_without_spectra_is_told(write, text):
    assert until_bad(write(text))[0] == []


# Random byte flips


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    root = tmp_path_factory.mktemp("small")
    write_phantom(root, 1, 0, PhantomConfig(spectra=3, tools=0))
    peaks = f'<peaks precision="32">{packed([1, 2, 3, 4], ">f4")}</peaks>'
    scan = f'<scan num="{{}}" msLevel="2" peaksCount="2">{PRECURSOR}{peaks}'
    return {
        "mgf": (root / "train" / "run01.mgf").read_bytes(),
        "mzml": mzml_file(mzml_spectrum(), mzml_spectrum(identifier="scan=8")).encode(),
        "mzxml": f"<mzXML><msRun>{scan.format(1)}{scan.format(2)}</scan></scan></msRun></mzXML>".encode(),
    }


@pytest.mark.parametrize("kind", ["mgf", "mzml", "mzxml"])
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4),
    cut=st.floats(0, 1),
    packed=st.booleans(),
)
@example(flips=[], cut=0.0, packed=False)
@example(flips=[], cut=1.0, packed=True)
def test_a_file_with_wrong_bytes_is_valid_or_bad_input(small, tmp_path, kind, flips, cut, packed):
    content = bytearray(small[kind])
    for place, byte in flips:
        content[int(place * (len(content) - 1))] = byte
    if cut > 0.5:
        del content[int(cut * len(content)) :]
    (tmp_path / "any").write_bytes(gzip.compress(bytes(content), mtime=0) if packed else bytes(content))
    try:
        for spectrum in read_spectra(str(tmp_path / "any")):
            assert (spectrum.problem != "") == (len(spectrum.mz) == 0)
            assert len(spectrum.mz) == len(spectrum.intensity)
            if not spectrum.problem:
                assert spectrum.charge > 0
                assert spectrum.precursor_mz > 0
                assert (np.diff(spectrum.mz) >= 0).all()
                assert np.isfinite(spectrum.mz).all()
                assert np.isfinite(spectrum.intensity).all()
    except BadInput:
        return
    if kind == "mgf" and not packed:
        labels = [spectrum.label for spectrum in read_spectra(str(tmp_path / "any"))]
        assert labels == list(read_labels(str(tmp_path / "any")))
