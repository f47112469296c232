"""`simclick train NAME`: train a pocket agent, or go on where its training stopped."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from simclick.errors import ConfigError

__all__ = ["add"]


def add(subparsers: Any) -> None:
    """Add the command."""
    command = subparsers.add_parser("train", help="train a pocket agent, or go on with it")
    command.add_argument("name", metavar="NAME", help="pocket-sam or pocket-click")
    command.add_argument(
        "words", nargs="*", default=[], metavar="key=value", help="out=DIR seed=0 device=auto …"
    )
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    command.set_defaults(function=_train)


def _train(arguments: argparse.Namespace) -> int:
    from simclick.config import compose_train

    settings = compose_train(arguments.name, arguments.words)
    try:
        from simclick.baselines.pocket.fitting import Stage
        from simclick.baselines.pocket.networks import SAM_SIDE
        from simclick.baselines.pocket.training import TrainSpec, train
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"training needs {error.name}, which is not installed: pip install 'simclick[train]'"
        ) from None
    out = Path(settings.pop("out") or Path("train") / arguments.name).expanduser()
    try:
        stages = tuple(Stage(**stage) for stage in settings.pop("stages"))
    except TypeError as error:
        raise ConfigError(f"stages: {error}") from None
    spec = TrainSpec(out=out, stages=stages, **settings)
    if spec.name == "pocket-sam" and (side := stages[-1].side) != SAM_SIDE:
        raise ConfigError(
            f"stages.side={side}: the last stage must have side {SAM_SIDE}, which agent=pocket-sam takes"
        )
    print(train(spec, _Bar(arguments.quiet)))
    return 0


class _Bar:
    """A progress bar on standard error: pictures, then steps with running means."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._what = ""
        self._bar: Any = None

    def __call__(self, what: str, done: int, total: int, shown: dict[str, float]) -> None:
        """Show that so much of something is done."""
        from tqdm import tqdm

        if self._quiet:
            return
        if what != self._what:
            self._what, self._bar = what, tqdm(total=total, desc=what, unit=what[:-1], dynamic_ncols=True)
            self._bar.initial = self._bar.n = done - 1
        self._bar.set_postfix({name: f"{value:.3f}" for name, value in shown.items()}, refresh=False)
        self._bar.update(done - self._bar.n)
        if done == total:
            self._bar.close()
