"""The package list equals the tree: setuptools cannot discover remapped folders by itself."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAPPED = {
    "baselines": "simclick.baselines",
    "conf": "simclick.conf",
    "envs": "simclick.envs",
    "leaderboard": "simclick.leaderboard",
    "simclick": "simclick",
}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib came with Python 3.11")
def test_package_list_equals_tree() -> None:
    import tomllib

    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = set()
    for folder, name in MAPPED.items():
        for file in (ROOT / folder).rglob("__init__.py"):
            parts = file.parent.relative_to(ROOT / folder).parts
            found.add(".".join((name, *parts)))
    assert set(setup["packages"]) == found
    assert {v: k for k, v in setup["package-dir"].items()} == MAPPED


def test_no_host_or_machine_path_in_what_is_committed() -> None:
    for file in (ROOT / "requirements").iterdir():
        assert not re.search(r"https?://|--index-url|file:", file.read_text()), file.name


def test_heavy_libraries_are_not_imported_by_the_core() -> None:
    import subprocess

    code = (
        "import sys, simclick, simclick.cli, simclick.protocol, simclick.harness.store; "
        "print([m for m in ('torch', 'hydra', 'matplotlib', 'numba', 'skimage') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
