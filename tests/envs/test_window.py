from __future__ import annotations

import sys
import types

import numpy as np
import pytest

import simclick.envs.window as window_module
from simclick.envs.window import Window

matplotlib = pytest.importorskip("matplotlib")
PICTURE = np.zeros((20, 30, 3), np.uint8)


@pytest.fixture(autouse=True)
def _own_backend():
    from matplotlib import pyplot as plt

    before = matplotlib.get_backend()
    window_module._say.cache_clear()
    yield
    plt.close("all")
    plt.switch_backend(before)


def screen(events):
    """A backend that draws to memory and that matplotlib takes for a window on a screen."""
    from matplotlib.backend_bases import FigureManagerBase
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    class Manager(FigureManagerBase):
        def show(self):
            events.append("show")

        def set_window_title(self, title):
            events.append(title)

        def destroy(self):
            events.append("destroy")

    class Canvas(FigureCanvasAgg):
        manager_class = Manager

        def draw_idle(self):
            self.draw()
            events.append(int(np.asarray(self.buffer_rgba())[..., 0].max()))

        def flush_events(self):
            events.append("flush")

    module = types.ModuleType("simclick_test_screen")
    module.FigureCanvas, module.FigureManager = Canvas, Manager
    return module


def test_pictures_are_shown_one_after_another_without_waiting(monkeypatch):
    events = []
    monkeypatch.setitem(sys.modules, "simclick_test_screen", screen(events))
    matplotlib.use("module://simclick_test_screen")
    window = Window("episode")
    window.show(PICTURE)
    window.show(PICTURE + 200)
    events.remove("Figure 1")  # Matplotlib's own title comes before ours.
    assert events == ["episode", "show", 0, "flush", 200, "flush"]
    window.close()
    window.close()
    assert events[6:] == ["destroy"]


def test_a_window_that_somebody_closed_stays_closed(monkeypatch):
    from matplotlib import pyplot as plt

    events = []
    monkeypatch.setitem(sys.modules, "simclick_test_screen", screen(events))
    matplotlib.use("module://simclick_test_screen")
    window = Window("episode")
    window.show(PICTURE)
    plt.close("all")
    before = len(events)
    window.show(PICTURE)
    assert len(events) == before


@pytest.mark.filterwarnings("error")
def test_without_a_display_one_line_and_no_crash(caplog):
    matplotlib.use("agg")
    for _ in range(2):
        window = Window("episode")
        window.show(PICTURE)
        window.show(PICTURE)
        window.close()
    assert [record.getMessage() for record in caplog.records] == [
        "render_mode='human' shows nothing (no display: matplotlib draws with 'agg'); "
        "use render_mode='rgb_array' instead"
    ]


def test_a_toolkit_that_breaks_does_not_end_the_episode(monkeypatch, caplog):
    module = screen([])
    monkeypatch.setitem(sys.modules, "simclick_test_screen", module)
    matplotlib.use("module://simclick_test_screen")

    calls = []

    def broken(self):
        calls.append(self)
        raise RuntimeError("lost the display")

    monkeypatch.setattr(module.FigureCanvas, "flush_events", broken)
    window = Window("episode")
    window.show(PICTURE)
    window.show(PICTURE)
    window.close()
    assert len(calls) == 1
    assert len(caplog.records) == 1
    assert "lost the display" in caplog.text
