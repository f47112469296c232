"""Where a run came from: versions, source, machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import simclick

__all__ = ["PACKAGES", "git_state", "hardware", "now", "provenance", "versions"]

PACKAGES = (
    "gymnasium",
    "hydra-core",
    "matplotlib",
    "nibabel",
    "nilearn",
    "numba",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pillow",
    "pyarrow",
    "PyMaxflow",
    "scikit-image",
    "scipy",
    "segment-anything",
    "simclick",
    "torch",
    "torchvision",
)


def provenance() -> dict[str, Any]:
    """Return everything that ``run.json`` says of where a run came from."""
    return {"versions": versions(), "git": git_state(), "hardware": hardware()}


def versions() -> dict[str, str]:
    """Return the versions of Python and of every package that may change a number."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any] | None:
    """Return commit and dirty flag of simclick's own checkout; None for an installed wheel."""
    source = Path(simclick.__file__).resolve()
    if _git(source.parent, "ls-files", "--error-unmatch", source.name) is None:
        return None
    return {
        "commit": _git(source.parent, "rev-parse", "HEAD"),
        "dirty": bool(_git(source.parent, "status", "--porcelain", "--untracked-files=no")),
    }


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def hardware() -> dict[str, Any]:
    """Return the machine in words and numbers."""
    found: dict[str, Any] = {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": None,
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def now() -> str:
    """Return the time, UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
