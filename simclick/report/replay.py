"""An episode as pictures: one per step, all in one sheet, and an animation."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from simclick.case import Case
from simclick.envs.rendering import draw
from simclick.errors import ConfigError, DataError, StoreError, unknown_name
from simclick.harness.reading import Run
from simclick.report.films import CaseLoader, Film, load_films
from simclick.report.folder import OwnFolder
from simclick.report.runs import open_run
from simclick.report.sheets import LEGEND, NO_MASKS, Tile, sheet_figure, shown_part
from simclick.report.style import MUTED, drawing, png_bytes
from simclick.report.tables import slug

__all__ = ["replay"]

INDEX = "replay.json"
FRAME_MS, LAST_MS = 700, 2400
"""How long the animation shows a step, and the last one."""
PER_ROW = 5
FRAME_DPI = 150


def replay(
    run: str | Path,
    case_id: str,
    out: str | Path | None = None,
    *,
    level: float | None = None,
    repeat: int = 0,
) -> list[Path]:
    """Draw one episode of a run, click by click.

    Writes ``step-00.png`` (the truth), ``step-01.png``, … (image, truth, prompts so far, and the mask
    where the run kept masks), ``sheet.png`` with all of them, and ``episode.gif``; ``replay.json`` lists
    them. The pictures of an earlier replay in the folder are removed.

    Args:
        run: The run directory.
        case_id: The case.
        out: The folder to write; ``replay-CASE`` where the command runs, unless given.
        level: Noise level; the protocol's first unless given.
        repeat: Repeat, from 0.

    Returns:
        The files, in the order above.

    Raises:
        ConfigError: When the run has no such case, level or repeat (names the nearest), or the folder
            holds anything but an earlier replay, or is or lies within a run directory.
        DataError: When the image cannot be loaded again, or changed since.
        StoreError: When the run cannot be read, or the folder not be written.
    """
    folder = OwnFolder(Path(out) if out is not None else Path(f"replay-{slug(case_id)}"), INDEX, "replay")
    folder.check()
    source = open_run(run)
    film = _film(source, case_id, level, repeat)
    try:
        case = CaseLoader().load(source, case_id)
    except DataError as error:
        raise DataError(f"case {source.dataset}/{case_id}: {error}") from None
    tiles = list(_tiles(film, case))
    heading = _heading(source, film)
    said = " ".join([LEGEND, *([] if film.has_masks else [NO_MASKS])])
    frames = [_frame(tile, heading, said) for tile in tiles]
    rows = [("", tiles[i : i + PER_ROW]) for i in range(0, len(tiles), PER_ROW)]
    sheet = png_bytes(sheet_figure(heading, rows, said))
    return _write(folder, frames, sheet)


def _film(run: Run, case_id: str, level: float | None, repeat: int) -> Film:
    keys = run.table("episodes", ["case_id", "level", "repeat"])
    known = set(keys["case_id"])
    if case_id not in known:
        planned = set(run.cases()["case_id"])
        if case_id in planned:
            raise ConfigError(f"case {case_id!r} is not done yet in {run.path}: run the same command again")
        raise _unknown_case(run, case_id, known)
    mine = keys[keys["case_id"] == case_id]
    levels = list(dict.fromkeys(mine["level"]))
    wanted = float(run.description["protocol"]["levels"][0]) if level is None else float(level)
    if wanted not in levels:
        choices = ", ".join(f"{value:g}" for value in sorted(levels))
        raise ConfigError(f"case {case_id!r} has no level {wanted:g} in {run.path} (choices: {choices})")
    repeats = sorted(mine.loc[mine["level"] == wanted, "repeat"])
    if repeat not in repeats:
        choices = f"0 to {repeats[-1]}" if len(repeats) > 1 else str(repeats[0])
        raise ConfigError(
            f"case {case_id!r} has no repeat {repeat} at level {wanted:g} in {run.path} (choices: {choices})"
        )
    return load_films(run, [(case_id, wanted, repeat)])[0]


def _unknown_case(run: Run, case_id: str, known: set[str]) -> ConfigError:
    """Return the error for a wrong case: the choices are listed where they are few."""
    if len(known) <= 20:
        return unknown_name(f"case of {run.path}", case_id, known)
    from difflib import get_close_matches

    near = get_close_matches(case_id, sorted(known), n=3, cutoff=0.4)
    hint = f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
    some = ", ".join(sorted(known)[:5])
    return ConfigError(f"{run.path} has no case {case_id!r}{hint} ({len(known)} cases: {some}, …)")


def _tiles(film: Film, case: Case) -> Iterator[Tile]:
    """Yield the truth, then every step; the last round without an answer too, where the agent failed."""
    crop = shown_part(film, case)
    yield Tile("truth", draw(case.image, case.truth, crop=crop))
    for shot in film.shots:
        picture = draw(case.image, case.truth, shot.mask, film.rounds[: shot.step], crop=crop)
        clicks = f"{shot.cost} click{'' if shot.cost == 1 else 's'}"
        step = "" if shot.cost == shot.step else f"step {shot.step}, "
        yield Tile(f"{step}{clicks}: Dice {shot.dice:.3f}", picture)
    if film.error:
        picture = draw(case.image, case.truth, None, film.rounds, crop=crop)
        yield Tile(f"step {len(film.rounds)}: the agent failed ({_short(film.error)})", picture)


def _short(text: str, length: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _heading(run: Run, film: Film) -> str:
    marks = f" ({', '.join(run.marks)})" if run.marks else ""
    protocol = run.description["protocol"]
    noise = (
        "" if protocol["noise"] == "none" else f" · {protocol['noise']} {film.level:g}, repeat {film.repeat}"
    )
    return f"{run.agent}{marks} · {run.dataset}/{film.case_id} · {film.target}{noise}"


def _frame(tile: Tile, heading: str, legend: str) -> bytes:
    """Return one step as PNG: the picture, its heading above, its caption and the legend below."""
    height, width = tile.picture.shape[:2]
    side = 5.2
    w, h = side * width / max(height, width), side * height / max(height, width)
    wide = max(w, 3.6)
    lines = textwrap.wrap(legend, int(wide * 17))
    top, bottom = 0.5, 0.16 + 0.12 * len(lines)
    with drawing():
        figure = Figure((wide + 0.2, h + top + bottom))
        total_w, total_h = figure.get_size_inches()
        axes = figure.add_axes(((total_w - w) / 2 / total_w, bottom / total_h, w / total_w, h / total_h))
        axes.imshow(tile.picture, interpolation="antialiased")
        axes.set_axis_off()
        longest = int(wide * 15)
        figure.text(
            0.1 / total_w, 1 - 0.08 / total_h, _short(heading, longest), va="top", fontsize=8, color=MUTED
        )
        figure.text(
            0.1 / total_w,
            1 - 0.25 / total_h,
            _short(tile.caption, longest),
            va="top",
            fontsize=9.5,
            fontweight="bold",
        )
        figure.text(0.1 / total_w, 0.05 / total_h, "\n".join(lines), va="bottom", fontsize=6, color=MUTED)
    return png_bytes(figure, FRAME_DPI)


def _write(own: OwnFolder, frames: Sequence[bytes], sheet: bytes) -> list[Path]:
    files = {f"step-{i:02d}.png": frame for i, frame in enumerate(frames)}
    files |= {"sheet.png": sheet, "episode.gif": _animation(frames)}
    folder = own.root
    try:
        earlier = own.made() or []
        own.claim([*earlier, *files])
        for name in earlier:
            if re.fullmatch(r"step-\d+\.png", name) and name not in files:
                (folder / name).unlink(missing_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        own.claim(files)
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror or error}; choose another --out") from None
    return [folder / name for name in files]


def _animation(frames: Sequence[bytes]) -> bytes:
    """Return the frames as an endless GIF of one size, in colours chosen over all frames."""
    pictures = [Image.open(io.BytesIO(frame)).convert("RGB") for frame in frames]
    size = (max(p.width for p in pictures), max(p.height for p in pictures))
    even = [_padded(p, size) for p in pictures]
    # One palette for all frames: colours of their own would flicker from step to step.
    some = [np.asarray(p)[::4, ::4] for p in even]
    palette = Image.fromarray(_stacked(some)).quantize(256, method=Image.Quantize.MEDIANCUT)
    indexed = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in even]
    stream = io.BytesIO()
    times = [FRAME_MS] * (len(indexed) - 1) + [LAST_MS]
    indexed[0].save(
        stream, "GIF", save_all=True, append_images=indexed[1:], duration=times, loop=0, optimize=False
    )
    return stream.getvalue()


def _stacked(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.concatenate(pictures, axis=0)


def _padded(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    if picture.size == size:
        return picture
    canvas = Image.new("RGB", size, "white")
    canvas.paste(picture, (0, 0))
    return canvas
