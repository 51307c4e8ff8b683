"""The registry: a registered model runs elsewhere by its name, with its own code and without pickle files."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from mlflow import MlflowClient

import transect
from transect.pipelines import model_folder
from transect.pipelines.errors import UsageError
from transect.pipelines.package import code_sha256
from transect.pipelines.pyfunc_model import pinned_requirements
from transect.pipelines.register import register
from transect.pipelines.store import use_store

CHECKOUT = Path(transect.__file__).parents[1]

ELSEWHERE = """
import json, sys, warnings
sys.path = [path for path in sys.path if path not in ("", {checkout!r})]
try:
    import transect
    raise SystemExit("the checkout is still in reach")
except ImportError:
    pass
import mlflow, pandas
messages = []
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model = mlflow.pyfunc.load_model({uri!r})
    messages = [str(warning.message) for warning in caught]
import transect.core, transect.apps, transect.data_adapters, transect.pipelines
def predicted(row, out):
    return model.predict(pandas.DataFrame([row]), params={{"out": out}}).to_dict("records")[0]
answer = {{
    "code": [module.__file__ for module in (transect.core, transect.apps, transect.data_adapters, transect.pipelines)],
    "warned": [text for text in messages if "other code" in text],
    "example": predicted({{"before": "before.png", "after": "after.png"}}, "of_example"),
    "relative": predicted({relative!r}, "of_relative"),
    "absolute": predicted({absolute!r}, "of_absolute"),
    "missing": predicted({{"before": "nowhere.png", "after": "nowhere.png"}}, "of_missing"),
    "heavy": sorted({{"lightning", "ray"}} & set(sys.modules)),
}}
try:
    model.predict(pandas.DataFrame([{{"before": "before.png"}}]))
except Exception as error:
    answer["column"] = str(error)
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def store(workplace: Path) -> MlflowClient:
    use_store()
    return MlflowClient()


@pytest.fixture(scope="module")
def light(untrained: Path, store: MlflowClient) -> str:
    """A registered untrained model, which loads faster than the trained one."""
    return register(os.path.relpath(untrained), "light", "champion")  # a relative path


@pytest.fixture(scope="module")
def mlflow_folder(light: str) -> Path:
    return Path(mlflow.artifacts.download_artifacts(light))


def environment(**more: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **more}


@pytest.fixture(scope="module")
def elsewhere(champion: str, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The working folder and the output of a process that loads the trained model without access to the checkout."""
    folder = tmp_path_factory.mktemp("elsewhere")
    absolute = {column: str(pairs / "test" / side / "test_11.png") for column, side in zip(COLUMNS, "AB", strict=True)}
    for column, path in absolute.items():
        shutil.copy(path, folder / f"my_{column}.png")
    relative = {column: f"my_{column}.png" for column in COLUMNS}
    code = ELSEWHERE.format(checkout=str(CHECKOUT), uri=champion, relative=relative, absolute=absolute)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment())
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


COLUMNS = ("before", "after")


def test_a_name_alone_runs_the_models_own_code_outside_the_checkout(elsewhere):
    _, answer = elsewhere
    for path in answer["code"]:
        assert not Path(path).is_relative_to(CHECKOUT)
        assert Path(path).parts[-4:-2] == ("code", "transect")
    assert answer["warned"] == []
    assert answer["heavy"] == []


@pytest.mark.parametrize("name", ["example", "relative", "absolute"])
def test_it_predicts_its_example_and_files_by_relative_and_absolute_path(elsewhere, name):
    folder, answer = elsewhere
    row = answer[name]
    assert (row["status"], row["message"]) == ("done", "")
    assert Path(row["folder"]).parent == folder / f"of_{name}"
    assert {"mask.tif", "changes.gpkg", "done.json"} <= {path.name for path in Path(row["folder"]).iterdir()}


def test_it_finds_there_what_the_command_line_finds_here(elsewhere, champion, pairs, tmp_path):
    from transect.pipelines.predict import predict

    case = [str(pairs / "test" / side / "test_11.png") for side in "AB"]
    (outcome,) = predict(champion, case, tmp_path / "out")
    here = (tmp_path / "out" / outcome.case / "mask.tif").read_bytes()
    for name in ("relative", "absolute"):
        assert (Path(elsewhere[1][name]["folder"]) / "mask.tif").read_bytes() == here


def test_bad_rows_have_a_message_and_bad_columns_fail_the_call(elsewhere):
    folder, answer = elsewhere
    assert (answer["missing"]["status"], answer["missing"]["folder"]) == ("failed", "")
    assert "nowhere.png" in answer["missing"]["message"]
    assert not list((folder / "of_missing").glob("*"))
    assert "after" in answer["column"]


def test_a_model_of_other_code_says_so(mlflow_folder, tmp_path):
    changed = tmp_path / "model"
    shutil.copytree(mlflow_folder, changed)
    (changed / "artifacts" / "example" / "code.sha256").write_text("0" * 64)
    with pytest.warns(UserWarning, match="already imported other code"):
        mlflow.pyfunc.load_model(str(changed))


def test_the_model_carries_the_code_that_it_names(mlflow_folder):
    expected = (mlflow_folder / "artifacts" / "example" / "code.sha256").read_text()
    code = "import sys; sys.path.insert(0, sys.argv[1]); from transect.pipelines.package import *\n"
    code += "print(code_sha256())"
    command = [sys.executable, "-c", code, str(mlflow_folder / "code")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=mlflow_folder, env=environment())
    assert done.stdout.split()[0] == expected == code_sha256(), done.stderr
    missing = [
        path
        for path in CHECKOUT.glob("pipelines/*.j2")
        if not (mlflow_folder / "code/transect/pipelines" / path.name).is_file()
    ]
    assert missing == []


def test_no_pickle_travels(mlflow_folder):
    files = [path for path in mlflow_folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".safetensors" for path in files)
    for path in files:
        assert path.suffix not in {".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib"}
        with path.open("rb") as content:
            head = content.read(2)
        # The first bytes of pickle protocols 2 and later, and of the ZIP archives of torch.save.
        assert not re.match(rb"\x80[\x02-\x05]|PK", head), path
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


def test_requirements_are_pinned_to_what_is_installed(mlflow_folder):
    lines = (mlflow_folder / "requirements.txt").read_text().split()
    assert {"torch", "mlflow", "rasterio", "pyogrio", "safetensors"} <= {line.partition("==")[0] for line in lines}
    for line in lines:
        name, _, pinned = line.partition("==")
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.]*", line), line
        assert version(name).partition("+")[0] == pinned
    assert "pytest" not in {line.partition("==")[0] for line in lines}
    assert not {"rasterio", "pyogrio"} & {line.partition("==")[0] for line in pinned_requirements("another_app")}


def test_the_signature_is_two_paths_in_and_a_folder_to_write_to(mlflow_folder):
    signature = yaml.safe_load((mlflow_folder / "MLmodel").read_text())["signature"]
    assert [(column["name"], column["type"]) for column in json.loads(signature["inputs"])] == [
        ("before", "string"),
        ("after", "string"),
    ]
    (out,) = json.loads(signature["params"])
    assert (out["name"], out["default"]) == ("out", "predictions")
    assert [column["name"] for column in json.loads(signature["outputs"])] == ["case", "status", "folder", "message"]
    example = json.loads((mlflow_folder / "input_example.json").read_text())
    assert "before.png" in json.dumps(example)


def test_the_card_describes_the_version_and_the_alias_moves(light, untrained, store, tmp_path):
    first = store.get_model_version_by_alias("light", "champion")
    assert first.description == (untrained / "card.md").read_text()
    other = tmp_path / "other"
    shutil.copytree(untrained, other)
    (other / "card.md").write_text("# another\n")
    assert register(str(other), "light", "challenger") == "models:/light@challenger"
    second = store.get_model_version_by_alias("light", "challenger")
    assert (int(second.version), second.description) == (int(first.version) + 1, "# another\n")
    assert store.get_model_version_by_alias("light", "champion").version == first.version
    assert model_folder.load("models:/light@champion").sha256 == model_folder.load(str(untrained)).sha256


def test_a_trained_models_version_belongs_to_its_run(champion, trained, store):
    registered = store.get_model_version_by_alias("tiny", "champion")
    assert registered.run_id == trained[0]
    assert registered.description == (trained[1] / "card.md").read_text()
    for address in (champion, f"models:/tiny/{registered.version}", f"runs:/{trained[0]}/model", str(trained[1])):
        assert (model_folder.find(address) / "model.safetensors").read_bytes() == (
            trained[1] / "model.safetensors"
        ).read_bytes()


@pytest.mark.parametrize(
    "address",
    [
        "models:/unknown@champion",
        "models:/light@unknown",
        "models:/light/99",
        "models:/",
        "runs:/" + "0" * 32 + "/model",
    ],
)
def test_a_model_that_the_store_does_not_know_is_one_line_and_exits_with_2(light, command, tmp_path, address):
    status, out, err = command("predict", address, tmp_path, "--out", tmp_path / "out")
    assert (status, out) == (2, "")
    assert err.startswith(f"transect: model {address}: not found in sqlite:")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("source", "name", "alias"),
    [("0" * 32, "new", "a"), ("nowhere", "new", "a"), ("{folder}", "no/slash", "a"), ("{folder}", "new", "v1")],
)
def test_what_cannot_be_registered_is_one_line_and_leaves_no_version(untrained, store, command, source, name, alias):
    status, out, err = command("register", source.format(folder=untrained), "--name", name, "--alias", alias)
    assert (status, out) == (2, "")
    assert err.startswith("transect: ")
    assert len(err.splitlines()) == 1, err
    assert not store.search_model_versions("name = 'new'")
    assert not store.search_registered_models("name = 'new'")


def test_plain_mlflow_predicts_a_file_of_rows(light, pairs, tmp_path):
    row = {column: str(pairs / "test" / side / "test_12.png") for column, side in zip(COLUMNS, "AB", strict=True)}
    content = {"dataframe_records": [row], "params": {"out": str(tmp_path / "out")}}
    (tmp_path / "input.json").write_text(json.dumps(content))
    command = [sys.executable, "-m", "mlflow", "models", "predict", "--env-manager", "local", "-m", light]
    command += ["-i", "input.json", "--content-type", "json", "-o", "output.json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment())
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads((tmp_path / "output.json").read_text())["predictions"]
    assert answer["status"] == "done", answer
    assert (tmp_path / "out" / answer["case"] / "mask.tif").is_file()


def ask(port: int, rows: list[dict[str, str]], out: Path) -> list[dict[str, str]]:
    body = json.dumps({"dataframe_records": rows, "params": {"out": str(out)}}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["predictions"]


def test_mlflows_own_server_stays_within_the_served_folders(light, pairs, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    roots = [tmp_path / "data", tmp_path / "results"]
    shutil.copytree(pairs / "test", roots[0])
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", light, "--env-manager", "local"]
    search_path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    served = environment(TRANSECT_ROOTS=os.pathsep.join(map(str, roots)), PATH=search_path)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    server = subprocess.Popen([*command, "--port", str(port)], cwd=roots[0], env=served, **quiet)
    inside = {column: str(roots[0] / side / "test_11.png") for column, side in zip(COLUMNS, "AB", strict=True)}
    outside = {column: str(pairs / "test" / side / "test_11.png") for column, side in zip(COLUMNS, "AB", strict=True)}
    sneaky = {**inside, "before": str(roots[0] / ".." / ".." / "secret.png")}
    (roots[0] / "link.png").symlink_to(outside["before"])
    linked = {**inside, "before": str(roots[0] / "link.png")}
    remote = {**inside, "before": "https://127.0.0.1:1/x.tif"}
    url = {**inside, "before": f"file://{outside['before']}"}
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, "the server ended"
                time.sleep(0.2)
        done, *refused = ask(port, [inside, outside, sneaky, linked, remote, url], roots[1])
        assert done["status"] == "done", done
        assert Path(done["folder"]).is_relative_to(roots[1])
        for row in refused:
            assert row["status"] == "failed", row
            assert "a path outside the served folders" in row["message"]
        with pytest.raises(urllib.error.HTTPError) as refusal:
            ask(port, [inside], tmp_path / "elsewhere")
        assert refusal.value.code == 400
        assert b"Traceback" not in refusal.value.read()
        assert not (tmp_path / "elsewhere").exists()
        assert {path.name for path in roots[1].iterdir()} == {done["case"]}
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def test_a_model_folder_that_lacks_a_file_says_which(untrained, tmp_path):
    shutil.copytree(untrained, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"found no model\.safetensors, expected a model folder"):
        model_folder.load(str(tmp_path / "model"))
