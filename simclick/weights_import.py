"""Import of a checkpoint by hand; of one that holds Python objects, its tensors are taken out.

Unpickling executes what the file says, so it never happens here. A child process reads the file with an
unpickler of its own (`simclick.baselines.conversion`), which builds tensors and plain containers and puts an
inert object in the place of everything else; beside that, the process has an empty environment, a folder of
its own, and limits on memory, time, file size and (where the system allows it) no network. It also compares
names and shapes with the network that the registry names. What comes back is a safetensors file, which holds
numbers and nothing else. A file that safe loading takes as it is, and that is meant to be, is copied instead.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simclick.checkpoints import Architecture, Checkpoint
from simclick.errors import ConfigError
from simclick.weights import checkpoint_named, forget, locked, one_line, read_record, sha256_of, write_record

__all__ = ["WARNING", "Imported", "import_checkpoint"]

WARNING = """\
WARNING: {file} may be a Python pickle. Such a file can carry a program that runs when it is read the usual
way. simclick reads it once, in a separate process without network where the system allows that, takes the
tensors out, and executes nothing that the file names. Go on only if the file comes from
  {url}
"""
_TIMEOUT = 3600.0
_LINE = 1 << 20


@dataclass(frozen=True)
class Imported:
    """What an import made.

    Attributes:
        path: The file in the cache.
        sha256: Its SHA-256.
        tensors: How many tensors it holds.
        inert: What the file held beside tensors and plain containers, as ``module.name``; none was executed.
        confined: How the process was confined, in words.
        replaced: What was in its place before, in words; empty where nothing was, or the same.
    """

    path: Path
    sha256: str
    tensors: int
    inert: tuple[str, ...]
    confined: tuple[str, ...]
    replaced: str = ""


def import_checkpoint(name: str, source: Path, replace: bool = False) -> Imported:
    """Bring a checkpoint into the cache, its tensors alone where it holds Python objects.

    The tensors are those of the state dict in the file, whether it is wrapped or not; a safetensors file that
    is made depends on them alone, so that equal checkpoints give equal SHA-256.

    Args:
        name: The registered checkpoint that the file is.
        source: The file.
        replace: Take it even if another file came under this name before.

    Raises:
        ConfigError: When the file is not there, is not what the name says, holds no state dict or one of
            another network, or would replace another file without having been told to.
    """
    checkpoint = checkpoint_named(name)
    if not source.is_file():
        raise ConfigError(f"no such file: {source}")
    try:
        given = sha256_of(source)
    except OSError as error:
        raise ConfigError(f"{source}: {one_line(error)}") from None
    if checkpoint.sha256 is not None and given != checkpoint.sha256:
        raise ConfigError(
            f"{source} is not {checkpoint.file}: SHA-256 {given[:16]}…, not {checkpoint.sha256[:16]}…"
        )
    with locked(name) as folder:
        before = _before(folder, checkpoint, given)
        if before and not replace:
            raise ConfigError(
                f"{source} is not the file that came as {name} before ({before}); add --replace"
            )
        with tempfile.TemporaryDirectory(dir=folder, prefix=".import-") as room:
            return _brought(checkpoint, source, given, Path(room), before)


def _before(folder: Path, checkpoint: Checkpoint, given: str) -> str:
    """Return in words what other file came under a name; empty where none did, or the same one."""
    words = []
    for file, key in ((checkpoint.imported, "source_sha256"), (checkpoint.file, "sha256")):
        path = folder / file
        record = read_record(path)
        known = record.get(key)
        if checkpoint.sha256 is None and known is None and path.is_file():
            known = sha256_of(path)
        if checkpoint.sha256 is None and known not in {None, given}:
            words.append(f"SHA-256 {str(known)[:16]}…, {record.get('recorded', 'not recorded')}")
    return "; ".join(dict.fromkeys(words))


def _brought(checkpoint: Checkpoint, source: Path, given: str, room: Path, before: str) -> Imported:
    """Convert or copy a file, and put it and its record in their place."""
    folder = room.parent
    target = room / "out.safetensors"
    answer = _convert(source.resolve(), target, room, checkpoint.architecture)
    whole = bool(answer["plain"]) and not checkpoint.pickled
    path, other = folder / checkpoint.imported, folder / checkpoint.file
    if whole:
        path, other = other, path
        target = room / "out"
        shutil.copyfile(source, target)
    if checkpoint.config and not (whole and answer["config"]):
        raise ConfigError(
            f"{source} was not imported: {checkpoint.file} holds state_dict and config, as plain data, and "
            "cannot be used without"
        )
    sha256 = sha256_of(target)
    if whole and sha256 != given:
        raise ConfigError(f"{source} changed while it was read; try again")
    inert, confined = tuple(answer["inert"]), tuple(answer["confined"])
    record = {"sha256": sha256, "from": source.name, "source_sha256": given, "inert": inert}
    if before:  # what came before must not stay beside it, as if it were the same
        forget(other)
    write_record(path, record)
    target.replace(path)
    return Imported(path, sha256, int(answer["tensors"]), inert, confined, before)


def _convert(source: Path, target: Path, room: Path, architecture: Architecture | None) -> dict[str, Any]:
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
    command += [json.dumps(asdict(architecture))] if architecture is not None else []
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
    if "lacks" in answer and architecture is not None:
        raise ConfigError(
            f"simclick weights import needs {answer['lacks']}: pip install 'simclick[{architecture.extra}]'"
        )
    if done.returncode != 0 or "error" in answer or not target.is_file():
        raise ConfigError(f"{source} was not imported: {answer.get('error', 'no file was made')}")
    checked: dict[str, Any] = answer
    return checked
