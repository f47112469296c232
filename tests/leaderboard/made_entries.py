"""Accepted submissions with made-up rows, in the files that `simclick verify --accept` writes."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image

from simclick.leaderboard.boards import SuiteFacts
from simclick.leaderboard.downloads import Files
from simclick.leaderboard.entries import EPISODES, STEPS, Entry, load_entries
from simclick.leaderboard.method import MethodCard
from simclick.leaderboard.pages import add_pages
from simclick.leaderboard.parquet import parquet_bytes
from simclick.leaderboard.standings import Standing, compute_standings
from simclick.protocol import Protocol

EVIL = "<script>pwned = 1</script>"
_FOLDER = tempfile.TemporaryDirectory(prefix="simclick-board-")
CLICKS = Protocol("noc-v1", "center-click", budget=10)
BOX = Protocol("cosmos-s5-v1", "tight-box", budget=2)
_NOISE: dict[str, Any] = {"levels": (0.0, 5.0, 20.0), "repeats": 2}
CLICK_NOISE = Protocol("click-noise-short-v1", "center-click", noise="gaussian-click", budget=3, **_NOISE)
BOX_NOISE = Protocol("box-noise-short-v1", "tight-box", noise="box-edges", budget=2, levels=(0.0, 20.0))
ROLES = {"clicks": CLICKS, "box": BOX, "click_noise": CLICK_NOISE, "box_noise": BOX_NOISE}


def toy_suite(name: str = "toy-v1", cases: int = 36, roles: Mapping[str, Protocol] = ROLES) -> SuiteFacts:
    return SuiteFacts(
        name, f"{name}: made-up shapes", "Cases that exist nowhere.", "ab" * 32, cases, cases // 3, roles
    )


def write_entry(
    root: Path,
    slug: str,
    skill: float,
    *,
    suite: str = "toy-v1",
    cases: int = 36,
    roles: Mapping[str, Protocol] = ROLES,
    agent: str | None = None,
    tier: str = "replayed",
    candidates: int = 1,
    seconds: float = 0.1,
    marks: Sequence[str] = (),
    worst: bool = True,
    failed: int = 0,
    **card: Any,
) -> Path:
    """Write one accepted folder; Dice rises with the clicks and with `skill`, and falls with noise.

    The method fails at the last step of all episodes of the first `failed` cases.
    """
    folder = root / suite / slug
    (folder / "worst").mkdir(parents=True)
    about: dict[str, Any] = {"name": slug.title(), "version": "1", "date": "2026-02-03", **card}
    named = {"agent": agent or slug, "agent_digest": hashlib.sha256(slug.encode()).hexdigest()}
    runs, files = [], {}
    for protocol in roles.values():
        tables = _tables(protocol, cases, skill, candidates, seconds, slug)
        _fail(tables, failed)
        for name, schema in (("episodes", EPISODES), ("steps", STEPS)):
            table = pa.Table.from_pandas(tables[name], schema, preserve_index=False)
            files[f"{protocol.id}.{name}.parquet"] = parquet_bytes(table)
        runs.append(
            {**named, "protocol": protocol.id, "protocol_digest": protocol.digest, "dataset": "toy",
             "noise": protocol.noise, "marks": list(marks), "seed": 0}
        )  # fmt: skip
    submission = {
        "format": 1, "suite": {"name": suite, "version": 1, "digest": "ab" * 32}, "runs": runs,
        "method": MethodCard(**about).as_dict(), "files": {}, "summary": {}, "declared": {},
    }  # fmt: skip
    verdict = {
        "tier": tier, "verified_with": "0.1.0", "date": "2026-02-04",
        "checks": [{"name": "prompts", "verdict": "pass", "detail": "all prompts replayed"}],
        "archive": {"sha256": "0" * 64, "bytes": 1, "url": None},
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }  # fmt: skip
    if worst:
        _write_worst(folder / "worst", CLICKS.id)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    for name, content in (("submission", submission), ("verdict", verdict)):
        (folder / f"{name}.json").write_text(json.dumps(content, sort_keys=True))
    return folder


def _write_worst(folder: Path, protocol: str) -> None:
    steps = [
        {"step": step, "cost": step, "dice": 0.1 * step,
         "prompts": [{"kind": "click", "positive": True, "landed": [10 + step, 20], "meant": [10, 20]}]}
        for step in (1, 2, 3)
    ]  # fmt: skip
    content = {
        "protocol": protocol, "case_id": "case-000", "level": 0.0, "repeat": 0, "target": "liver",
        "group": "patient-00", "final_dice": 0.3, "status": "ok", "steps": steps,
        "picture": f"{protocol}-1.png",
    }  # fmt: skip
    (folder / f"{protocol}-1.json").write_text(json.dumps(content))
    Image.new("RGB", (320, 90), "#557799").save(folder / f"{protocol}-1.png")


def _tables(
    protocol: Protocol, cases: int, skill: float, candidates: int, seconds: float, slug: str
) -> dict[str, pd.DataFrame]:
    own = np.random.default_rng(int(hashlib.sha256(slug.encode()).hexdigest()[:8], 16))
    hard = np.random.default_rng(5).normal(0.0, 0.5, cases)
    boxed = protocol.annotator == "tight-box"
    n_steps = 1 if boxed else protocol.budget
    episodes, steps = [], []
    for number in range(cases):
        case = {
            "case_id": f"case-{number:03d}", "group": f"patient-{number // 3:02d}",
            "modality": ("ct", "mr")[number // 3 % 2],
            "target": ("liver", "lesion", f"vessel {EVIL}")[number % 3],
        }  # fmt: skip
        for level, repeat in protocol.cells():
            ability = np.exp(skill - hard[number] - 0.03 * level + own.normal(0, 0.1))
            dice = 1 - np.exp(-0.5 * ability * (np.arange(1, n_steps + 1) + boxed) ** 0.7)
            key = {"case_id": case["case_id"], "level": level, "repeat": repeat}
            episodes.append(
                {**key, **case, "status": "ok", "error": None, "steps": n_steps,
                 "final_dice": float(dice[-1]), "seconds_encode": 0.01}
            )  # fmt: skip
            for step in range(1, n_steps + 1):
                value = float(dice[step - 1])
                steps.append(
                    {**key, "step": step, "cost": 2 if boxed else step, "dice": value, "hd95": None,
                     "nsd": None, "oracle_dice": value if candidates == 1 else min(1.0, value + 0.02),
                     "chosen": 0, "n_candidates": candidates, "seconds_predict": seconds}
                )  # fmt: skip
    return {"episodes": pd.DataFrame(episodes), "steps": pd.DataFrame(steps)}


def _fail(tables: Mapping[str, pd.DataFrame], cases: int) -> None:
    episodes, steps = tables["episodes"], tables["steps"]
    bad = {f"case-{number:03d}" for number in range(cases)}
    lost, last = episodes["case_id"].isin(bad), steps["step"] == steps["step"].max()
    for name, value in {"status": "failed", "error": f"predict: {EVIL}", "final_dice": 0.0}.items():
        episodes.loc[lost, name] = value
    for name, none in {"dice": 0.0, "oracle_dice": 0.0, "chosen": -1, "n_candidates": 0}.items():
        steps.loc[last & steps["case_id"].isin(bad), name] = none


def write_toy(root: Path) -> list[Entry]:
    """Write a board of five methods and a second suite with two of them; return their entries.

    One method's card, and one target, hold markup: the reader of submissions refuses the card, so it is put
    in after reading.
    """
    write_entry(root, "disc", -1.5, family="sanity", parameters=0, hardware="2 CPU cores", seconds=0.001)
    write_entry(
        root, "alpha", 1.0, candidates=3, parameters=91_000_000, tier="reproduced", family="promptable",
        seconds=0.5, prompts=("click", "box"), paper="https://example.org/paper", hardware="one GPU",
        code="https://example.org/code", training_data="Many pictures.", overlap={"toy-v1": "partial"},
        licence="MIT", authors=("A. Author", "B. Author"), description="Learned on many pictures.",
    )  # fmt: skip
    write_entry(root, "beta", 0.6, parameters=1_000_000, seconds=0.05, tier="self-reported", worst=False)
    write_entry(
        root, "gamma-with-a-rather-long-name-that-wraps", 0.58, seconds=0.2, prompts=("click", "scribble")
    )
    write_entry(root, "peeker", 3.0, oracle=True)
    few = {"clicks": CLICKS}
    small: dict[str, Any] = {"suite": "tiny-v1", "cases": 9, "roles": few}
    write_entry(root, "alpha", 0.8, authors=("A. Author", "B. Author"), **small)
    write_entry(root, "disc", -1.0, **small)
    return [_hostile(entry) if entry.slug == "beta" else entry for entry in load_entries(root)]


def _hostile(entry: Entry) -> Entry:
    card = replace(
        entry.card, name=f"beta {EVIL}", paper="javascript:pwned=1", code=f"https://example.org/{EVIL}",
        description=EVIL, hardware=f'" onmouseover="pwned=1 {EVIL}', authors=(EVIL,), training_data=EVIL,
    )  # fmt: skip
    return replace(entry, card=card)


def toy_suites() -> dict[str, SuiteFacts]:
    """The suites of `write_toy`."""
    return {"toy-v1": toy_suite(), "tiny-v1": toy_suite("tiny-v1", 9, {"clicks": CLICKS})}


@cache
def toy_entries() -> list[Entry]:
    """The entries of `write_toy`, made once."""
    return write_toy(Path(_FOLDER.name) / "submissions")


@cache
def toy_standings() -> list[Standing]:
    """Their standings, computed once."""
    return compute_standings(toy_entries(), toy_suites())


@cache
def toy_site() -> Path:
    """Their site, built once."""
    site = Path(_FOLDER.name) / "site"
    files = Files()
    add_pages(files, toy_standings())
    files.write(site)
    return site
