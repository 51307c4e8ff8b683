"""Candidate files of every tool are detected by content and read row by row; a malformed line affects only its row."""

import gzip
import json
import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.candidates.mztab import with_modifications
from transect.data_adapters.peptide.candidates.read import open_all, open_candidates
from transect.data_adapters.peptide.candidates.row import CandidateRow, Damaged, run_name
from transect.data_adapters.peptide.proforma import parse_peptide

PSH = (
    "PSH\tsequence\tPSM_ID\tsearch_engine\tsearch_engine_score[1]\tmodifications\tcharge\texp_mass_to_charge"
    "\tspectra_ref\topt_global_aa_scores\topt_global_cv_MS:1003169_proforma_peptidoform_sequence\n"
)


def mztab(*rows, software="Casanovo, 5.2.1", location="file:///data/My%20Run.mzML"):
    head = f"MTD\tmzTab-version\t1.0.0\nMTD\tsoftware[1]\t[MS, MS:1003281, {software}]\n"
    return head + f"MTD\tms_run[1]-location\t{location}\n" + PSH + "".join("\t".join(row) + "\n" for row in rows)


FILES = {
    "casanovo5.mztab": mztab(
        ("PSM", "AC", "1", "null", "0.9", "null", "2", "400.5", "ms_run[1]:scan=17", "null", "[Acetyl]-AC[+57.021]"),
        ("PSM", "ACM", "2", "null", "0.8", "0-UNIMOD:1,3-UNIMOD:35", "2.0", "400.5", "ms_run[1]:scan=17", "", "null"),
        ("PSM", "C+57.021K", "3", "null", "-0.1", "null", "null", "null", "ms_run[1]:index=4", "null", "null"),
    ),
    "run.contranovo.mztab": mztab(
        ("PSM", "-17.027+42.011AK", "1", "null", "0.9", "null", "2", "400.5", "ms_run[1]:scan=17", "null", "null")
    ),
    "pepnet.tsv": "TITLE\tDENOVO\tScore\tPPM Difference\tPositional Score\nrun.7.7.2\tACK\t0.5\t1.0\t[0.9, 0.8]\n",
    "helix.tsv": "controllerType=0 controllerNumber=1 scan=3\t+42.011AC+57.021K\t0.97\n",
    "x.refinenovo.tsv": "label\tprediction\tcharge\tscore\nscan=3\t[+42.011]-AC[+57.021]K\t2\t0.5\n",
    "deepnovo.tab": "scan\ttarget_seq\toutput_seq\toutput_score\nmy_run:5\tA\tCmod,A,K\t-0.5\n9\tA\t\tinf\n",
    "point.csv": "feature_id\tfeature_area\tpredicted_sequence\tpredicted_score\tpredicted_position_score\tprecursor_mz"
    "\tprecursor_charge\tprotein_access_id\tscan_list_original\n"
    "1\t0\tC(Carbamidomethylation),A,K\t-0.5\t-0.1,-0.2,-0.2\t400.5\t2.0\tDENOVO\tF1:2478\n",
    "instanovo.csv": "experiment_name,scan_number,spectrum_id,precursor_mz,precursor_charge,predictions,"
    "predictions_tokenised,log_probs,predictions_beam_0,predictions_log_probability_beam_0,predictions_beam_1,"
    "predictions_log_probability_beam_1\n"
    'run,17,run:17,400.5,2,[UNIMOD:1]M[UNIMOD:35]K,"[UNIMOD:1], M[UNIMOD:35], K",-0.25,[UNIMOD:1]M[UNIMOD:35]K,-0.25,'
    "MAK,-1.5\n",
    "novob.tsv": "1\t2\t801.0\t['mCK']\t0.1\t0.75\t['KCm']\t0.2\t0.25\tb'5280'\n",
    "novob.csv": "spectrum_id,sequence,score\n5280,mCK,0.75\n",
    "sms.txt": "m C K </s>\n\nA K <s>\nA <unk> K\n",
    "smsnet.csv": "index,sequence,peptide_score,aa_scores\n3,mCK,0.75,\"0.7 0.8\"\n",
    "peaks.csv": "Fraction,Source File,Feature,Peptide,Scan,Tag Length,ALC (%),length,m/z,z,RT,Area,Mass,ppm,PTM,"
    "local confidence (%),tag (>=0%),mode\n"
    "10,My Run.raw,F10:3434,A(+42.01)CK,F10:3629,3,99,3,438.5,2,19.9,-,419.1838,1.6,,99 99 98,ACK,HCD\n",
    "custom.csv": '"spectrum_id";"sequence";"score";"aa_scores"\n'
    '"scan=12";"[Acetyl]-C[+57.021]K";"0,5";"0.5,0.5,0.5"\n',
    "lines.jsonl": '{"index": 3, "precursor_mz": 400.5, "charge": 2, "a": "AK", "a_score": 0.5, "b": "CK", '
    '"b_score": 1, "truth": "WW"}\n{"index": 4, "a": null, "a_score": null, "b": "KK", "b_score": 2}\n',
    "array.json": '[{"index": 3, "title": "run:3", "truth": "WW", "candidates": ["AK", "CK"]}, '
    '{"index": 4, "title": "run:4", "truth": "WW", "candidates": ["KK"]}]',
}  # fmt: skip


def read(path):
    file = open_candidates(str(path))
    return file, list(file.rows())


def shown(path):
    """Tool, keys, peptide in ProForma or the error, score, m/z and charge of each row."""
    file, rows = read(path)
    found = []
    for row in rows:
        tool, keys = file.tools[row.tool], row.keys
        spelling = {"fixed_cysteine": tool.fixed_cysteine, "lower_case": tool.lower_case}
        try:
            peptide = parse_peptide(row.sequence, **spelling).proforma
        except ValueError as error:
            peptide = str(error)
        found.append((tool.name, (keys.index, keys.scan, keys.number, keys.run), peptide, row.score, row.charge))
    return found


def none(value):
    return pytest.approx(value, nan_ok=True)


NAN = math.nan
EXPECTED = {
    "casanovo5.mztab": [
        ("casanovo", (None, 17, None, "my run"), "[Acetyl]-AC[Carbamidomethyl]", 0.9, 2),
        ("casanovo", (None, 17, None, "my run"), "[Acetyl]-ACM[Oxidation]", 0.8, 2),
        ("casanovo", (4, None, None, "my run"), "C[Carbamidomethyl]K", -0.1, 0),
    ],
    "run.contranovo.mztab": [
        ("contranovo", (None, 17, None, "my run"), "two N-terminal modifications, -17.027+42.011", 0.9, 2)
    ],
    "pepnet.tsv": [("pepnet", (None, 7, None, ""), "AC[Carbamidomethyl]K", 0.5, 0)],
    "helix.tsv": [("helixnovo", (None, 3, None, ""), "[Acetyl]-AC[Carbamidomethyl]K", 0.97, 0)],
    "x.refinenovo.tsv": [("refinenovo", (None, 3, None, ""), "[Acetyl]-AC[Carbamidomethyl]K", 0.5, 2)],
    "deepnovo.tab": [
        ("deepnovo", (None, None, 5, "my_run"), "C[Carbamidomethyl]AK", -0.5, 0),
        ("deepnovo", (None, None, 9, ""), "an empty prediction", NAN, 0),
    ],
    "point.csv": [("pointnovo", (None, 2478, 1, ""), "C[Carbamidomethyl]AK", -0.5, 2)],
    "instanovo.csv": [
        ("instanovo", (None, 17, 17, "run"), "[Acetyl]-M[Oxidation]K", -0.25, 2),
        ("instanovo", (None, 17, 17, "run"), "[Acetyl]-M[Oxidation]K", -0.25, 2),
        ("instanovo", (None, 17, 17, "run"), "MAK", -1.5, 2),
    ],
    "novob.tsv": [
        ("novob", (None, None, 5280, ""), "M[Oxidation]C[Carbamidomethyl]K", 0.75, 2),
        ("novob", (None, None, 5280, ""), "KC[Carbamidomethyl]M[Oxidation]", 0.25, 2),
    ],
    "novob.csv": [("novob", (None, None, 5280, ""), "M[Oxidation]C[Carbamidomethyl]K", 0.75, 0)],
    "sms.txt": [
        ("smsnet", (0, None, None, ""), "M[Oxidation]C[Carbamidomethyl]K", NAN, 0),
        ("smsnet", (1, None, None, ""), "an empty prediction", NAN, 0),
        ("smsnet", (2, None, None, ""), "AK", NAN, 0),
        ("smsnet", (3, None, None, ""), "'<' where a residue should be", NAN, 0),
    ],
    "smsnet.csv": [("smsnet", (3, None, None, ""), "M[Oxidation]C[Carbamidomethyl]K", 0.75, 0)],
    "peaks.csv": [("peaks", (None, 3629, None, "my run"), "[Acetyl]-AC[Carbamidomethyl]K", 99, 2)],
    "custom.csv": [("custom", (None, 12, None, ""), "[Acetyl]-C[Carbamidomethyl]K", 0.5, 0)],
    "lines.jsonl": [
        ("a", (3, None, None, ""), "AK", 0.5, 2),
        ("b", (3, None, None, ""), "CK", 1, 2),
        ("b", (4, None, None, ""), "KK", 2, 0),
    ],
    "array.json": [
        ("candidate_1", (3, None, 3, ""), "AK", NAN, 0),
        ("candidate_2", (3, None, 3, ""), "CK", NAN, 0),
        ("candidate_1", (4, None, 4, ""), "KK", NAN, 0),
    ],
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("packed", ["plain", "gzip", "mark and CRLF", "UTF-16"])
def test_each_dialect_is_told_and_read(tmp_path, name, packed):
    text = FILES[name].replace("\n", "\r\n") if packed == "mark and CRLF" else FILES[name]
    content = text.encode({"mark and CRLF": "utf-8-sig", "UTF-16": "utf-16"}.get(packed, "utf-8"))
    path = tmp_path / (f"{name}.gz" if packed == "gzip" else name)
    path.write_bytes(gzip.compress(content) if packed == "gzip" else content)
    found = shown(path)
    assert [
        (tool, keys, peptide, none(score), charge) for tool, keys, peptide, score, charge in EXPECTED[name]
    ] == found


@pytest.mark.parametrize(
    ("file", "tool", "rows", "peptides"),
    [
        ("casanovo.mztab", "casanovo", 9000, 9000),
        ("adanovo.mztab", "adanovo", 9000, 9000),
        ("pepnet.tsv", "pepnet", 9000, 9000),
        ("pihelixnovo.tsv", "helixnovo", 9000, 9000),
        ("piprimenovo.tsv", "primenovo", 7444, 7444),
        ("deepnovo.tab", "deepnovo", 7811, 7810),  # spectrum 1090 has an empty prediction
        ("instanovo.csv", "instanovo", 2, 2),
    ],
)
def test_every_row_of_the_real_files_is_read(fixtures, file, tool, rows, peptides):
    opened, found = read(fixtures / f"peptide/proteobench_denovo/denovo_benchmark_test.{file}.gz")
    assert [one.name for one in opened.tools] == [tool]
    assert len(found) == rows
    assert all(isinstance(row, CandidateRow) for row in found)
    fixed = opened.tools[0].fixed_cysteine
    assert sum(bool(parse_peptide(row.sequence, fixed_cysteine=fixed)) for row in found if row.sequence) == peptides


def test_one_file_holds_the_candidates_of_several_tools_and_never_the_truth(shared_file):
    opened, rows = read(shared_file("data/peptide/simulated/semisyn_candidates.jsonl.gz"))
    assert [tool.name for tool in opened.tools] == [
        "casanovo", "adanovo", "pepnet", "helixnovo", "primenovo", "deepnovo"
    ]  # fmt: skip
    assert len(rows) == 4 * 9000 + 7444 + 7810
    path = shared_file("data/peptide/casanovo/cands_real128.json")
    opened, rows = read(path)
    objects = json.loads(path.read_text())
    assert [tool.name for tool in opened.tools] == [f"candidate_{place}" for place in range(1, 7)]
    assert [row.sequence for row in rows] == [text for one in objects for text in one["candidates"]]


def test_peaks_tells_by_the_mass_whether_a_plain_cysteine_is_modified(tmp_path):
    path = tmp_path / "peaks.csv"
    path.write_text(FILES["peaks.csv"].replace("419.1838", f"{parse_peptide('[Acetyl]-ACK').mass:.4f}"))
    assert [row[2] for row in shown(path)] == ["[Acetyl]-ACK"]


def test_tools_of_the_same_name_stay_apart(tmp_path):
    for name in ("a.mztab", "b.mztab"):
        (tmp_path / name).write_text(FILES["casanovo5.mztab"])
    files = open_all([str(tmp_path / "a.mztab"), str(tmp_path / "b.mztab")])
    assert [tool.name for file in files for tool in file.tools] == ["casanovo", "casanovo_2"]


def test_modifications_of_mztab_go_to_their_places():
    assert with_modifications("ACMK", "3-UNIMOD:35,2-UNIMOD:4,0-UNIMOD:1") == "[UNIMOD:1]-AC[UNIMOD:4]M[UNIMOD:35]K"
    assert with_modifications("AK", "2[MS, MS:1001876, p, 0.8]|1[MS, MS:1001876, p, 0.1]-CHEMMOD:+14.5") == "AK[+14.5]"
    with pytest.raises(ValueError, match="no place and name"):
        with_modifications("AK", "UNIMOD:35")


@pytest.mark.parametrize("place", [r"C:\data\Run.1.RAW", "file:///x/Run.1.mgf.gz", "/x/run.1.mzML", "run.1"])
def test_a_run_is_known_by_its_name_alone(place):
    assert run_name(place) == "run.1"


def test_a_damaged_row_is_told_and_moves_no_other(tmp_path):
    lines = ["TITLE\tDENOVO\tScore\n"] + [f"scan={scan}\tPEPTIDEK\t0.5\n" for scan in range(5)]
    lines[2] = 'scan=1\t"PEPTIDEK\t0.5\n'
    lines[3] = "scan=2\tPEPTIDEK\n"
    lines[4] = "scan=3\tPEP\0TIDEK\t0.5\n"
    path = tmp_path / "a.tsv"
    path.write_text("".join(lines))
    _, rows = read(path)
    assert [row.line for row in rows] == [2, 3, 4, 5, 6]
    assert [row.keys.scan for row in rows if isinstance(row, CandidateRow)] == [0, 3, 4]
    assert [row.detail for row in rows if isinstance(row, Damaged)] == [
        "2 columns instead of 3", "2 columns instead of 3"
    ]  # fmt: skip


def test_an_unknown_file_is_refused_with_the_names_of_those_that_are_read(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("These are my notes.\nNothing else.\n")
    with pytest.raises(
        BadInput, match=r"notes.txt: dialect: found .*my notes.*mzTab, a table of .*pepnet.*spectrum_id"
    ):
        open_candidates(str(path))
    path.write_text("")
    with pytest.raises(BadInput, match="content: found nothing"):
        open_candidates(str(path))
    with pytest.raises(BadInput, match="no such file"):
        open_candidates(str(tmp_path / "absent.csv"))


def test_a_cut_off_file_is_refused(tmp_path):
    lines = "TITLE\tDENOVO\tScore\n" + "".join(f"scan={scan}\tPEPTIDE{scan:x}\t0.{scan}\n" for scan in range(30_000))
    for name, content in (("a.tsv.gz", lines), ("a.json.gz", json.dumps([{"index": 0, "candidates": ["AK"]}] * 9000))):
        path = tmp_path / name
        packed = gzip.compress(content.encode(), mtime=0)
        path.write_bytes(packed[: len(packed) * 3 // 4])
        with pytest.raises(BadInput, match=f"{name}: gzip"):
            read(path)
    path = tmp_path / "b.json"
    path.write_text(FILES["array.json"][:-40])
    with pytest.raises(BadInput, match=r"b.json: object 1: found .* then the end"):
        read(path)


def test_a_bomb_is_refused(tmp_path):
    path = tmp_path / "a.tsv.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(b"TITLE\tDENOVO\tScore\n")
        for _ in range(3):
            file.write(b"A" * (1 << 20))
    with pytest.raises(BadInput, match="line 2: found more than 1048576 characters"):
        read(path)
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(b"[")
        for _ in range(3):
            file.write(b'{"a":' * (1 << 18))
    with pytest.raises(BadInput, match="object 0"):
        read(path)
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(b'[{"index": 0, "candidates": ["AK"]}]')
        for _ in range(90):
            file.write(b" " * (1 << 20))
    with pytest.raises(BadInput, match="more than 200 times its size"):
        read(path)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_flipped_bytes_are_refused_or_read(name, data):
    content = bytearray(FILES[name].encode() * (1 if name.endswith(".json") else 3))
    if data.draw(st.booleans()):
        content = bytearray(gzip.compress(bytes(content), mtime=0))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            _, rows = read(path)
        except BadInput:
            return
    assert len(rows) < 40
    for row in rows:
        if isinstance(row, CandidateRow):
            assert math.isnan(row.score) or math.isfinite(row.score)
            row.sequence.encode()
