"""The training loop that both pocket agents share: stages, averages of weights, checkpoints, progress.

Every sample of step s is drawn from a generator keyed by (seed, stage, s), so a run that was stopped and
taken up again sees what an undisturbed one sees, however many processes draw the samples.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from simclick.errors import ConfigError

__all__ = ["Stage", "Task", "fit"]

Report = Callable[[int, int, dict[str, float]], None]
"""Called with (steps done, steps in all, running means)."""

_DECAY = 0.998
_KEPT = 0.98


@dataclass(frozen=True)
class Stage:
    """A stretch of training at one input size.

    Attributes:
        side: Input side in pixels.
        steps: Steps of the optimiser.
        batch: Samples per step.
        rate: Peak of the learning rate's single cycle.
        warmup: Share of the steps before that peak.
    """

    side: int
    steps: int
    batch: int
    rate: float
    warmup: float = 0.08


class Task(ABC):
    """What is trained: a model per input size, and its loss."""

    @abstractmethod
    def model(self, side: int) -> nn.Module:
        """Return a fresh model for an input size."""

    @abstractmethod
    def carry(self, state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        """Return a state dict of another input size, fitted to the model."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, side: int, batch: int) -> Any:
        """Return the fresh samples of a step, on the CPU; possibly in a process of its own."""

    @abstractmethod
    def loss(
        self, model: nn.Module, drawn: Any, rng: np.random.Generator, device: torch.device
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of what `draw` gave, and numbers to show; ``rng`` is for corrections."""


def fit(
    task: Task,
    stages: Sequence[Stage],
    folder: Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    weight_decay: float = 0.02,
    settings: Mapping[str, Any] | None = None,
    every_seconds: float = 120.0,
    workers: int = 0,
    report: Report | None = None,
) -> dict[str, Tensor]:
    """Train to the end of the last stage, or go on where a checkpoint stands; return the averaged weights.

    Args:
        task: What to train.
        stages: One after the other; the weights are carried over.
        folder: Where ``checkpoint.pt`` lies.
        seed: Seed of weights and samples.
        device: ``cpu`` or ``cuda``.
        weight_decay: AdamW's.
        settings: What else tells this training from another: plain values.
        every_seconds: How often a checkpoint is written.
        workers: Processes that draw samples ahead; 0 draws them in this one. The samples are the same.
        report: Told of progress after every step.

    Raises:
        ConfigError: When the folder holds a checkpoint of other settings, stages or another seed, or one that
            cannot be read.
    """
    place = torch.device(device)
    file = folder / "checkpoint.pt"
    identity = {"seed": seed, "weight_decay": weight_decay, "stages": [asdict(s) for s in stages]}
    identity["settings"] = dict(settings or {})
    saved = _resume(file, identity)
    total, before = sum(s.steps for s in stages), 0
    state: dict[str, Tensor] | None = None
    for number, stage in enumerate(stages):
        if saved is not None and number < saved["stage"]:
            before += stage.steps
            continue
        run = _StageRun(task, stage, seed, number, weight_decay, place, state)
        done = 0
        if saved is not None:
            done = run.restore(saved)
            saved = None
        last = time.monotonic()
        means: dict[str, float] = {}
        for drawn in _samples(task, stage, [seed, number], done, workers):
            shown = run.step(drawn, np.random.default_rng([seed, number, done, 1]))
            done += 1
            for name, value in shown.items():
                means[name] = value if name not in means else _KEPT * means[name] + (1 - _KEPT) * value
            if report is not None:
                report(before + done, total, means)
            if time.monotonic() - last > every_seconds or done == stage.steps:
                _write(file, {**run.content(), "stage": number, "done": done, "identity": identity})
                last = time.monotonic()
        state, before = run.averaged(), before + stage.steps
    assert state is not None
    return state


class _StageRun:
    """A stage under way."""

    def __init__(
        self,
        task: Task,
        stage: Stage,
        seed: int,
        number: int,
        weight_decay: float,
        device: torch.device,
        state: dict[str, Tensor] | None,
    ) -> None:
        self.task, self.stage, self.device = task, stage, device
        torch.manual_seed(seed + number)
        # In the usual order of planes convolutions take half as long again.
        self.model = task.model(stage.side).to(device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if state is not None:
            self.model.load_state_dict(task.carry(state, self.model))
        self.average = AveragedModel(self.model, multi_avg_fn=_average(), use_buffers=True)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=stage.rate, weight_decay=weight_decay)
        # The rise takes share * total - 1 steps: torch divides by that, so it may not be 0.
        total = stage.steps + 1
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, max_lr=stage.rate, total_steps=total, pct_start=max(stage.warmup, 1.5 / total)
        )

    def step(self, drawn: Any, rng: np.random.Generator) -> dict[str, float]:
        """Take one step of the optimiser."""
        self.model.train()
        loss, shown = self.task.loss(self.model, drawn, rng, self.device)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        self.average.update_parameters(self.model)
        return {"loss": float(loss.detach()), **shown}

    def averaged(self) -> dict[str, Tensor]:
        """Return the averaged weights."""
        return {
            k: v.detach().clone(memory_format=torch.contiguous_format)
            for k, v in self.average.module.state_dict().items()
        }

    def content(self) -> dict[str, Any]:
        """Return what a checkpoint holds: tensors and plain values alone."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def restore(self, saved: dict[str, Any]) -> int:
        """Take up a checkpoint; return its number of steps."""
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.schedule.load_state_dict(saved["schedule"])
        return int(saved["done"])


class _Steps(Dataset[Any]):
    """The samples of each step of a stage."""

    def __init__(self, task: Task, stage: Stage, key: list[int]) -> None:
        self.task, self.stage, self.key = task, stage, key

    def __getitem__(self, step: int) -> Any:
        return self.task.draw(np.random.default_rng([*self.key, step]), self.stage.side, self.stage.batch)


def _samples(task: Task, stage: Stage, key: list[int], done: int, workers: int) -> Iterator[Any]:
    steps = _Steps(task, stage, key)
    loader = DataLoader(
        steps,
        batch_size=None,
        sampler=range(done, stage.steps),
        num_workers=workers,
        collate_fn=_as_it_is,
        prefetch_factor=4 if workers else None,
    )
    return iter(loader)


def _as_it_is(drawn: Any) -> Any:
    return drawn


def _average() -> Any:
    return get_ema_multi_avg_fn(_DECAY)  # type: ignore[no-untyped-call]


def _write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".part")
    torch.save(content, temporary)
    temporary.replace(file)


def _resume(file: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    try:
        saved: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        found = saved["identity"]
    except Exception:  # whatever a damaged or a foreign file makes torch raise
        raise ConfigError(f"{file} cannot be read; take it away, or choose another out=DIR") from None
    if found != identity:
        raise ConfigError(
            f"{file} belongs to another agent's training, or to one of other settings, other stages or "
            "another seed; choose another out=DIR"
        )
    return saved
