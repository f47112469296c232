"""`simclick agent-template`: the method's side of a process agent, as one file to copy."""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path
from typing import Any

from simclick.errors import ConfigError

__all__ = ["EXAMPLE", "add", "helper", "recipe"]

_RECIPES = ("simpleclick", "focalclick")
"""Adapters; each may use those before it."""

EXAMPLE = '''\
"""A method in a process of its own.

    simclick check process command='python my_method.py'
    simclick run agent=process agent.command='python my_method.py' agent.options.radius=12 dataset=phantoms
"""

from simclick_method import Method, serve  # first: from here on, prints go to the run's log

import numpy as np


class Discs(Method):
    """Paints a disc at every click."""

    name = "discs"
    accepts = ("click",)
    parameters = 0

    def __init__(self, radius=8):
        self.radius = radius

    def encode(self, image):
        # Called once per image, uint8[H, W, 3]. Return whatever your method wants to keep of it.
        return np.mgrid[: image.shape[0], : image.shape[1]]

    def segment(self, request):
        rows, columns = request.features  # what encode returned
        mask = np.zeros(request.size, bool)
        for prompt in request.prompts:
            x, y = prompt.at
            mask[(rows - y) ** 2 + (columns - x) ** 2 <= self.radius**2] = prompt.positive
        return mask


if __name__ == "__main__":
    serve(Discs)
'''


def helper() -> str:
    """Return the text of ``simclick_method.py``."""
    return (files("simclick.baselines.process") / "simclick_method.py").read_text(encoding="utf-8")


def recipe(name: str) -> str:
    """Return the text of the adapter of a published repository."""
    return (files("simclick.baselines.process") / "recipes" / f"{name}.py").read_text(encoding="utf-8")


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser("agent-template", help="a file that lets any method answer simclick")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write simclick_method.py and an example, my_method.py, there"
    )
    parser.add_argument(
        "--recipe",
        choices=_RECIPES,
        help="with --out: instead of the example, the adapter of a published repository",
    )
    parser.set_defaults(function=_template)


def _template(arguments: argparse.Namespace) -> int:
    if arguments.out is None:
        if arguments.recipe:
            raise ConfigError("--recipe writes several files: say where with --out DIR")
        print(helper(), end="")
        return 0
    folder: Path = arguments.out
    wanted = {folder / "simclick_method.py": helper()}
    if arguments.recipe is None:
        wanted[folder / "my_method.py"] = EXAMPLE
    for name in _RECIPES[: _RECIPES.index(arguments.recipe) + 1] if arguments.recipe else ():
        wanted[folder / f"{name}.py"] = recipe(name)
    if taken := [str(path) for path in wanted if path.exists()]:
        raise ConfigError(f"--out: {', '.join(taken)} is there already; remove it, or choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in wanted.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--out {folder}: {error.strerror}") from None
    for path in wanted:
        print(path)
    return 0
