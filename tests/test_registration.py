from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "imports",
    ["import simclick, gymnasium", "import gymnasium, simclick", "import simclick, importlib.util\n"
     "importlib.util.find_spec('gymnasium.envs.registration')\nimport gymnasium"],
)  # fmt: skip
def test_environments_are_known_whichever_is_imported_first(imports: str) -> None:
    code = f"{imports}\nassert 'simclick/Segmentation-v0' in gymnasium.registry"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_simclick_imports_no_gymnasium() -> None:
    subprocess.run(
        [sys.executable, "-c", "import simclick, sys; assert 'gymnasium' not in sys.modules"], check=True
    )
