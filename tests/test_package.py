"""The wheel: both ways to build it give the same files, and it trains, registers, loads and predicts."""

import importlib.metadata
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
UV = [sys.executable, "-m", "uv"]
TINY = (
    "--model.axial_operator.channels 8 --model.axial_operator.blocks 1 --model.axial_operator.dim 16 "
    "--model.axial_operator.depth 1 --train.epochs 1 --train.precision fp32 --pictures none"
)

TRAIN = f"""
import glob, sys
import apps, core
from transect.pipelines.cli import main

def transect(words):
    try:
        main(words.split())
    except SystemExit as ended:
        assert ended.code == 0, (words, ended.code)

transect("phantom pde --out data --count 6 --phantom.points 16")
transect("train pde --data data {TINY}")
transect(f"register {{glob.glob('checkpoints/*')[0].partition('/')[2]}} --name wheel")
assert core.OWNER == apps.OWNER == "the user"
assert (sys.modules["core"], sys.modules["apps"]) == (core, apps)
"""

LOAD = """
import glob, sys
import apps, core
import mlflow, pandas, transect

path = sorted(glob.glob("data/test/**/*.hdf5", recursive=True))[0]
model = mlflow.pyfunc.load_model("models:/wheel@champion")
row = model.predict(pandas.DataFrame([{"simulation": path}]), {"out": sys.argv[1]})
assert row["status"].tolist() == ["done"], row.to_dict()
folder = transect.load("models:/wheel@champion").predict(path).save(sys.argv[1] + "/saved")
assert (folder / "rollout.nc").is_file()
print(transect.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([*UV, "build", "--quiet", "--out-dir", folder, ROOT], check=True)
    return next(folder.glob("*.whl"))


def test_both_ways_to_build_give_the_same_files(wheel, tmp_path):
    subprocess.run([*UV, "build", "--quiet", "--wheel", "--out-dir", tmp_path, ROOT], check=True)
    direct = zipfile.ZipFile(next(tmp_path.glob("*.whl")))
    from_source = zipfile.ZipFile(wheel)
    files = {name: direct.read(name) for name in direct.namelist()}
    assert files == {name: from_source.read(name) for name in from_source.namelist()}
    top = {name.partition("/")[0] for name in files}
    assert {name for name in top if not name.endswith(".dist-info")} == {"transect"}
    libraries = ("niivue.umd.js", "niivue.LICENSE", "leaflet.js", "leaflet.css", "leaflet.LICENSE")
    viewer = [f"pipelines/views/vendor/{name}" for name in libraries]
    for source in ("core/attention/axial.py", "apps/pde/config.yaml", "pipelines/report.html.j2", *viewer):
        assert files[f"transect/{source}"] == (ROOT / source).read_bytes()


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a fresh environment that has the wheel, and with the user's own packages core and apps."""
    folder = tmp_path_factory.mktemp("elsewhere")
    python = folder / "env" / "bin" / "python"
    subprocess.run([*UV, "venv", "--quiet", "--python", sys.executable, folder / "env"], check=True)
    subprocess.run([*UV, "pip", "install", "--quiet", "--no-deps", "--python", python, wheel], check=True)
    link_requirements(f"transect[pde] @ {wheel.as_uri()}", next(folder.glob("env/lib/*/site-packages")))
    for name in ("core", "apps"):
        (folder / "own" / name).mkdir(parents=True)
        (folder / "own" / name / "__init__.py").write_text('OWNER = "the user"\n')
    return folder


def link_requirements(requirement: str, site_packages: Path) -> None:
    """Give an environment what `requirement` needs, and nothing else, as links: installed again it takes 6 GB."""
    compiled = subprocess.run(
        [
            *UV,
            "pip",
            "compile",
            "--quiet",
            "--no-header",
            "--no-annotate",
            "--constraints",
            ROOT / "constraints.txt",
            "-",
        ],
        input=requirement,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in compiled.stdout.splitlines() if not line.startswith("transect")]
    for name in (line.partition("==")[0] for line in lines):
        distribution = importlib.metadata.distribution(name)
        for entry in {file.parts[0] for file in distribution.files or () if ".." not in file.parts}:
            if not (site_packages / entry).exists():
                (site_packages / entry).symlink_to(distribution.locate_file(entry))


def run(folder: Path, *command: object) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}
    kept |= {"PYTHONPATH": str(folder / "own")}
    done = subprocess.run(list(map(str, command)), cwd=folder, env=kept, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_trains_registers_loads_and_predicts_elsewhere(elsewhere):
    python = elsewhere / "env" / "bin" / "python"
    run(elsewhere, python, "-c", TRAIN)
    output = run(elsewhere, python, "-c", LOAD, "predictions")
    assert Path(output.splitlines()[-1]).is_relative_to(elsewhere)
