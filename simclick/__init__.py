"""simclick: a simulated interactive-segmentation benchmark for medical images.

Importing it registers its environments, so that ``gymnasium.make("simclick/Segmentation-v0", …)`` works,
whichever of the two is imported first, and without importing Gymnasium by itself.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__version__ = "0.1.0"

__all__ = ["__version__"]

_REGISTRATION = "gymnasium.envs.registration"


def _register() -> None:
    from simclick.envs import register_environments

    register_environments()


class _RegisterOnImport(MetaPathFinder):
    """Registers our environments right after Gymnasium's registry was imported.

    Importing Gymnasium costs more than all of `simclick --help`, and Gymnasium loads no plug-ins by
    itself: so we wait until somebody imports it.
    """

    _looking = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the registry as usual, and register as soon as it has run."""
        if fullname != _REGISTRATION or self._looking:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking = False
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _register()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if _REGISTRATION in sys.modules:
    _register()
else:
    sys.meta_path.insert(0, _RegisterOnImport())
