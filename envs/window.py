"""A window on the screen, by matplotlib: the only module that touches a display."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Window"]


class Window:
    """Shows pictures one after another without waiting; does nothing where there is no display.

    Args:
        title: The window's title.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._figure: Any = None
        self._artist: Any = None
        self._usable = True

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Show a picture: UInt8[h, w, 3]."""
        if not self._usable:
            return
        try:
            self._draw(picture)
        except Exception as error:  # A GUI toolkit may raise anything when its display is gone.
            self._usable = False
            self._figure = None
            _say(f"render_mode='human' shows nothing ({error}); use render_mode='rgb_array' instead")

    def close(self) -> None:
        """Close the window; harmless when it is closed already."""
        if self._figure is not None:
            from matplotlib import pyplot as plt

            plt.close(self._figure)
            self._figure = self._artist = None

    def _draw(self, picture: NDArray[np.uint8]) -> None:
        from matplotlib import pyplot as plt

        if self._figure is None:
            self._open(picture)
        elif not plt.fignum_exists(self._figure.number):
            self._usable = False  # Somebody closed the window: leave it closed.
            return
        self._artist.set_data(picture)
        self._figure.canvas.draw_idle()
        self._figure.canvas.flush_events()

    def _open(self, picture: NDArray[np.uint8]) -> None:
        from matplotlib import pyplot as plt
        from matplotlib.backends.registry import BackendFilter, backend_registry

        backend = plt.get_backend().lower()
        silent = backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE)  # type: ignore[no-untyped-call]
        if "inline" in backend or backend in silent:
            raise RuntimeError(f"no display: matplotlib draws with {backend!r}")
        height, width = picture.shape[:2]
        self._figure = plt.figure(figsize=(width / 100, height / 100), dpi=100)
        self._figure.canvas.manager.set_window_title(self._title)
        axes = self._figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        self._artist = axes.imshow(picture, interpolation="nearest")
        self._figure.show()


@cache
def _say(message: str) -> None:
    """Write a line to the log, once per process."""
    logging.getLogger("simclick").warning(message)
