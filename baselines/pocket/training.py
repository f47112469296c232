"""`simclick train`: from generated pictures to a safetensors file; the same command resumes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from simclick.baselines.pocket.fitting import Stage, Task, fit
from simclick.baselines.pocket.pictures import Pictures, make_pictures
from simclick.errors import ConfigError
from simclick.harness.engine import numeric_threads
from simclick.harness.store import check_writable

__all__ = ["NAMES", "TrainSpec", "train"]

NAMES = ("pocket-click", "pocket-sam")
_SIDES = {"pocket-click": 16, "pocket-sam": 64}
"""What an input side must be a multiple of."""


@dataclass(frozen=True)
class TrainSpec:
    """What to train.

    Attributes:
        name: ``pocket-sam`` or ``pocket-click``.
        out: The folder.
        stages: Stretches of training.
        seed: Seed of pictures, weights and samples.
        device: ``cpu`` or ``cuda``, or ``auto``.
        threads: Numeric threads.
        workers: Processes that make pictures and draw samples ahead; the weights do not depend on them.
        phantoms: Training phantoms.
        mosaics: Training mosaics.
        weight_decay: AdamW's.
        rounds: Most prompts per sample (pocket-sam).
        prompts: Samples per picture (pocket-sam).
        half: Whether the network computes in bfloat16 (pocket-sam).
    """

    name: str
    out: Path
    stages: tuple[Stage, ...]
    seed: int = 0
    device: str = "auto"
    threads: int = 1
    workers: int = 0
    phantoms: int = 1600
    mosaics: int = 1600
    weight_decay: float = 0.02
    rounds: int = 4
    prompts: int = 4
    half: bool = False

    def __post_init__(self) -> None:
        def need(good: bool, key: str, value: object, rule: str) -> None:
            if not good:
                raise ConfigError(f"{key}={value}: {rule}")

        need(isinstance(self.half, bool), "half", self.half, "must be true or false")
        need(len(self.stages) > 0, "stages", [], "needs at least one stage")
        for key in ("threads", "workers", "phantoms", "mosaics", "rounds", "prompts"):
            value = getattr(self, key)
            least = 0 if key in {"mosaics", "workers"} else 1
            need(_whole(value, least), key, value, f"must be a whole number ≥ {least}")
        need(_whole(self.seed, 0), "seed", self.seed, "must be a whole number ≥ 0")
        good = _number(self.weight_decay) and 0 <= self.weight_decay < 1
        need(good, "weight_decay", self.weight_decay, "must be a number from 0 to 1")
        for stage in self.stages:
            multiple = _SIDES[self.name]
            good = _whole(stage.side, multiple) and stage.side % multiple == 0
            need(good, "stages.side", stage.side, f"must be a multiple of {multiple}")
            for key in ("steps", "batch"):
                value = getattr(stage, key)
                need(_whole(value, 1), f"stages.{key}", value, "must be a whole number ≥ 1")
            for key in ("rate", "warmup"):
                value = getattr(stage, key)
                good = _number(value) and 0 < value < 1
                need(good, f"stages.{key}", value, "must be a number between 0 and 1")


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def train(spec: TrainSpec, progress: Callable[[str, int, int, dict[str, float]], None]) -> Path:
    """Train, or go on; return the safetensors file.

    Args:
        spec: What to train.
        progress: Called with (what is done: ``pictures`` or ``steps``, done, in all, numbers to show).

    Raises:
        ConfigError: When the folder belongs to another training, or a value is wrong.
    """
    from simclick.baselines.pocket.export import save_weights
    from simclick.baselines.sam.devices import resolve_device

    device = resolve_device(spec.device)
    check_writable(spec.out)
    try:
        spec.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"out={spec.out}: {error.strerror or error}") from None
    pictures = _pictures(spec, lambda done, total: progress("pictures", done, total, {}))
    start = time.perf_counter()
    with numeric_threads(spec.threads):
        state = fit(
            _task(spec, pictures),
            spec.stages,
            spec.out,
            seed=spec.seed,
            device=device,
            weight_decay=spec.weight_decay,
            settings={"name": spec.name, "rounds": spec.rounds, "prompts": spec.prompts, "half": spec.half},
            workers=spec.workers,
            report=lambda done, total, means: progress("steps", done, total, means),
        )
    path = spec.out / f"{spec.name}.safetensors"
    save_weights(state, path)
    log = {"seconds": round(time.perf_counter() - start, 1), "device": device, "threads": spec.threads}
    (spec.out / "training.json").write_text(json.dumps(log) + "\n", encoding="utf-8")
    return path


def _pictures(spec: TrainSpec, progress: Callable[[int, int], None]) -> Pictures:
    """Return the pictures, made once per folder."""
    file, note = spec.out / "pictures.npz", spec.out / "pictures.json"
    identity: dict[str, Any] = {"phantoms": spec.phantoms, "mosaics": spec.mosaics, "seed": spec.seed}
    if file.is_file() and note.is_file():
        try:
            same = json.loads(note.read_text(encoding="utf-8")) == identity
            found = Pictures.load(file) if same else None
        except (OSError, ValueError, KeyError, BadZipFile):
            raise ConfigError(f"{file} cannot be read; take it away, or choose another out=DIR") from None
        if found is None:
            raise ConfigError(f"{file} holds other pictures; choose another out=DIR")
        return found
    pictures = make_pictures(spec.phantoms, spec.mosaics, spec.seed, progress, spec.workers)
    pictures.save(file)
    note.write_text(json.dumps(identity) + "\n", encoding="utf-8")
    return pictures


def _task(spec: TrainSpec, pictures: Pictures) -> Task:
    if spec.name == "pocket-sam":
        from simclick.baselines.pocket.sam_task import SamTask

        return SamTask(pictures, spec.rounds, spec.prompts, spec.threads, spec.half)
    from simclick.baselines.pocket.click_task import ClickTask

    return ClickTask(pictures)
