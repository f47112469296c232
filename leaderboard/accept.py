"""Accepted folders: what a board keeps of a verified submission, small enough for a repository."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from simclick.errors import ConfigError, StoreError
from simclick.leaderboard.entries import EPISODES, STEPS
from simclick.leaderboard.folders import check_folder
from simclick.leaderboard.inventory import ENTRY_FILE
from simclick.leaderboard.limits import canonical_json
from simclick.leaderboard.method import slug
from simclick.leaderboard.one_method import check_beside
from simclick.leaderboard.parquet import parquet_bytes
from simclick.leaderboard.suites import load_suite
from simclick.leaderboard.worst import Key, worst_keys

if TYPE_CHECKING:
    from simclick.leaderboard.opening import Opened, OpenedRun
    from simclick.leaderboard.verify import Verdict

__all__ = ["entry_files", "write_entry"]


def entry_files(opened: Opened, local: Mapping[str, Any] | None) -> dict[str, bytes]:
    """Return the files of an accepted folder, but for its verdict.

    Args:
        opened: The submission; its rows passed every check.
        local: Options of the data set that depend on the machine, for the pictures; None: no
            pictures.
    """
    files = {"submission.json": canonical_json(opened.archive.submission)}
    for run in opened.runs:
        name = run.protocol.id
        files[f"{name}.episodes.parquet"] = parquet_bytes(_kept(run.claimed.episodes, EPISODES))
        files[f"{name}.steps.parquet"] = parquet_bytes(_kept(run.claimed.steps, STEPS))
        worst = worst_keys(run.claimed.episodes, run.claimed.steps, run.protocol.budget)
        for place, key in enumerate(worst):
            stem = f"worst/{name}-{place}"
            picture = None if local is None else _picture(opened, run, key, local)
            if picture is not None:
                files[f"{stem}.png"] = picture
            shown = f"{name}-{place}.png" if picture is not None else None
            files[f"{stem}.json"] = canonical_json(_story(run, key, shown))
    return files


def write_entry(verdict: Verdict, folder: Path, *, url: str | None = None, replace: bool = False) -> Path:
    """Write the accepted folder ``SUITE/SLUG/`` of a verified submission; return it.

    It is written beside, read as a build of the site reads it, and only then put in its place.

    Args:
        verdict: What `simclick.leaderboard.verify.verify` found, with ``accept=True``.
        folder: The folder of submissions.
        url: Where the archive is kept.
        replace: Whether an accepted folder of that name is replaced.

    Raises:
        ConfigError: When a check failed, the folder is there already, or no build would take it; nothing is
            left behind, and what was there stays.
        StoreError: When it cannot be written.
    """
    if not verdict.passed or verdict.tier is None or verdict.about is None:
        raise ConfigError("the submission did not pass: it is not accepted")
    if bad := [name for name in verdict.files if ENTRY_FILE.fullmatch(name) is None]:
        raise ConfigError(f"not a file of an accepted folder: {bad[0]!r}")
    suite = load_suite(verdict.suite or str(verdict.about["suite"]))
    target = folder / suite.name / slug(str(verdict.about["method"]))
    if target.exists() and not replace:
        raise ConfigError(f"{target} is there already: --replace replaces it")
    fresh = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as beside:
            staged = Path(beside) / suite.name / target.name
            _write(staged, {**verdict.files, "verdict.json": _json(verdict.as_dict(url))})
            try:
                check_beside(check_folder(staged, {suite.name: suite}), folder)
            except ConfigError as error:
                raise ConfigError(str(error).replace(str(staged), str(target))) from None
            target.parent.mkdir(exist_ok=True)
            if target.exists():
                target.replace(Path(beside) / "old")
            staged.replace(target)
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror or error}") from None
    finally:
        if fresh and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return target


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def _json(content: object) -> bytes:
    return json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"


def hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of every file, by name, sorted."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}


def _kept(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(frame[f.name], type=f.type, from_pandas=True, safe=False) for f in schema]
    table = pa.Table.from_arrays(arrays, schema=schema)
    order = [n for n in ("case_id", "level", "repeat", "step") if n in schema.names]
    return table.sort_by([(name, "ascending") for name in order])


def _of(frame: pd.DataFrame, key: Key) -> pd.DataFrame:
    case_id, level, repeat = key
    mine: pd.DataFrame = frame[
        (frame["case_id"] == case_id) & (frame["level"] == level) & (frame["repeat"] == repeat)
    ]
    return mine


def _story(run: OpenedRun, key: Key, picture: str | None) -> dict[str, Any]:
    episode = _of(run.claimed.episodes, key).iloc[0]
    prompts = _of(run.claimed.prompts, key).sort_values(["step", "index"])
    steps = [
        {
            "step": int(row["step"]),
            "cost": int(row["cost"]),
            "dice": float(row["dice"]),
            "prompts": [
                {
                    "kind": str(p["kind"]),
                    "positive": bool(p["positive"]),
                    "landed": [int(v) for v in p["landed"]],
                    "meant": [int(v) for v in p["meant"]],
                }
                for p in prompts[prompts["step"] == row["step"]].to_dict("records")
            ],
        }
        for row in _of(run.claimed.steps, key).sort_values("step").to_dict("records")
    ]
    return {
        "protocol": run.protocol.id,
        "case_id": key[0],
        "level": key[1],
        "repeat": key[2],
        "target": str(episode["target"]),
        "group": str(episode["group"]),
        "status": str(episode["status"]),
        "final_dice": float(episode["final_dice"]),
        "steps": steps,
        "picture": picture,
    }


def _picture(opened: Opened, run: OpenedRun, key: Key, local: Mapping[str, Any]) -> bytes:
    from simclick.leaderboard.strip_pictures import strip_png

    place = next(i for i, case in enumerate(opened.suite.cases) if case.case_id == key[0])
    case = next(opened.suite.loaded(local, slice(place, place + 1)))
    noise = f", level {key[1]:g}, repeat {key[2]}" if run.protocol.noise != "none" else ""
    return strip_png(_film(run, key, case.size), case, f"{key[0]}{noise}")


def _film(run: OpenedRun, key: Key, size: tuple[int, int]) -> Any:
    """Return an episode as the report's pictures take it."""
    from simclick.prompts import Round
    from simclick.report.films import Film, Shot

    claimed = run.claimed
    episode = _of(claimed.episodes, key).iloc[0]
    rows = _of(claimed.masks.rows, key)
    places = dict(zip(zip(rows["step"], rows["candidate"], strict=True), rows.index, strict=True))
    shots = []
    for row in _of(claimed.steps, key).sort_values("step").to_dict("records"):
        if row["chosen"] < 0:
            continue
        mask: np.ndarray[Any, Any] | None = claimed.masks.mask(int(places[row["step"], row["chosen"]]), size)
        shots.append(Shot(int(row["step"]), int(row["cost"]), float(row["dice"]), mask))
    prompts = _of(claimed.prompts, key).sort_values(["step", "index"])
    rounds = [
        Round(tuple(_prompt(p) for p in of_step.to_dict("records")))
        for _, of_step in prompts.groupby("step", sort=True)
    ]
    error = str(episode["error"] or "") if episode["status"] == "failed" else ""
    return Film(key[0], key[1], key[2], str(episode["target"]), tuple(shots), tuple(rounds), error)


def _prompt(row: Mapping[Any, Any]) -> Any:
    from simclick.prompts import Prompt

    def places(name: str) -> Sequence[int]:
        return tuple(int(v) for v in row[name])

    return Prompt(
        row["kind"],
        tuple(places("landed")),
        bool(row["positive"]),
        tuple(places("meant")),
        bool(row["meant_positive"]),
        row["text"],
    )
