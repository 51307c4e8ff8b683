"""Every extra installs from wheels alone, on every supported version of Python."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINUX, MACOS, WINDOWS = "x86_64-manylinux_2_28", "aarch64-apple-darwin", "x86_64-pc-windows-msvc"
UNREACHABLE = ("dns error", "Connect", "timed out", "operation timeout")


def resolve(python: str, platform: str) -> str:
    """The versions that uv selects for all extras and for development; skips if there is no package index.

    One resolution serves all extras, since the constraints leave no version open: what installs together also installs
    alone. uv looks for an interpreter of that version, but needs none.
    """
    done = subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"),
            *("--python-version", python, "--python-platform", platform, "--only-binary", ":all:"),
            *("--all-extras", "--group", "dev", "--constraints", "constraints.txt", "pyproject.toml"),
        ],
        cwd=ROOT,
        env={**os.environ, "UV_PYTHON_DOWNLOADS": "never", "MACOSX_DEPLOYMENT_TARGET": "14.0"},
        capture_output=True,
        text=True,
    )
    if done.returncode and any(word in done.stderr for word in UNREACHABLE):
        pytest.skip("needs the package index, which cannot be reached")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("python", "platform", "numpy"),
    [
        ("3.11", LINUX, "numpy==1.26.4"),  # as nuscenes-devkit asks, which is for Python below 3.13
        ("3.12", LINUX, "numpy==1.26.4"),
        ("3.13", LINUX, "numpy==2."),
        ("3.13", MACOS, "numpy==2."),
        ("3.13", WINDOWS, "numpy==2."),
    ],
)
def test_every_extra_installs_from_wheels(python: str, platform: str, numpy: str):
    versions = resolve(python, platform)
    assert numpy in versions
    assert ("nuscenes-devkit==1.2.0" in versions) == (python < "3.13")
