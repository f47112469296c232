"""Import of a checkpoint that holds Python objects: its tensors, taken out by a confined process.

Unpickling executes what the file says, so it never happens here. A child process reads the file with an
unpickler of its own (`simclick.baselines.conversion`), which builds tensors and plain containers and puts an
inert object in the place of everything else; beside that, the process has an empty environment, a folder of
its own, and limits on memory, time, file size and (where the system allows it) no network. What comes back is
a safetensors file, which holds numbers and nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simclick.errors import ConfigError
from simclick.weights import cache_folder, checkpoint_named, sha256_of, write_record

__all__ = ["WARNING", "Imported", "import_checkpoint"]

WARNING = """\
WARNING: {file} is a Python pickle. Such a file can carry a program that runs when it is read the usual way.
simclick reads it once, in a separate process without network where the system allows that, takes the tensors
out, and executes nothing that the file names. Go on only if the file comes from
  {url}
"""
_TIMEOUT = 3600.0
_LINE = 4000


@dataclass(frozen=True)
class Imported:
    """What an import made.

    Attributes:
        path: The safetensors file in the cache.
        sha256: Its SHA-256.
        tensors: How many tensors it holds.
        inert: What the file held beside tensors and plain containers, as ``module.name``; none was executed.
        confined: How the process was confined, in words.
    """

    path: Path
    sha256: str
    tensors: int
    inert: tuple[str, ...]
    confined: tuple[str, ...]


def import_checkpoint(name: str, source: Path) -> Imported:
    """Take the tensors out of a checkpoint and keep them in the cache.

    The tensors are those of the state dict in the file, whether it is wrapped or not; the file that is made
    depends on them alone, so that equal checkpoints give equal SHA-256.

    Args:
        name: The registered checkpoint that the file is.
        source: The file.

    Raises:
        ConfigError: When the file is not there, is not what the name says, or holds no state dict.
    """
    checkpoint = checkpoint_named(name)
    if not source.is_file():
        raise ConfigError(f"no such file: {source}")
    given = sha256_of(source)
    if checkpoint.sha256 is not None and given != checkpoint.sha256:
        raise ConfigError(
            f"{source} is not {checkpoint.file}: SHA-256 {given[:16]}…, not {checkpoint.sha256[:16]}…"
        )
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".import-") as room:
        target = Path(room) / "out.safetensors"
        answer = _convert(source.resolve(), target, Path(room))
        path = folder / checkpoint.imported
        target.replace(path)
    sha256 = sha256_of(path)
    write_record(
        path, {"sha256": sha256, "from": source.name, "source_sha256": given, "inert": answer["inert"]}
    )
    return Imported(path, sha256, int(answer["tensors"]), tuple(answer["inert"]), tuple(answer["confined"]))


def _convert(source: Path, target: Path, room: Path) -> dict[str, Any]:
    """Run the child; return what it says, a line of JSON."""
    kept = ("SYSTEMROOT", "PATH", "LD_LIBRARY_PATH")
    environment = {key: os.environ[key] for key in kept if key in os.environ}
    environment |= {
        "HOME": str(room),
        "TMPDIR": str(room),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, "-I", "-m", "simclick.baselines.conversion", str(source), str(target)]
    try:
        done = subprocess.run(
            command,
            cwd=room,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{source}: reading it took more than {_TIMEOUT:.0f} s; it was stopped") from None
    try:
        answer = json.loads(done.stdout.decode(errors="replace").splitlines()[-1][:_LINE])
    except (ValueError, IndexError):
        answer = {"error": f"the process that read it ended with code {done.returncode}"}
    if done.returncode != 0 or "error" in answer or not target.is_file():
        raise ConfigError(f"{source} was not imported: {answer.get('error', 'no file was made')}")
    checked: dict[str, Any] = answer
    return checked
