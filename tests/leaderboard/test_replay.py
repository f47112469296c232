"""Replaying a submission: an honest one passes, every tampered one is caught."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from submission_support import contents, found, made, packed, with_json, with_rows, with_submission

from simclick.case import Case
from simclick.episode import Rules
from simclick.leaderboard.opening import Opened, open_submission
from simclick.leaderboard.replay import Claimed, Findings, Replayer, compare
from simclick.protocol import Protocol
from simclick.runlength import encode

Tables = dict[str, pd.DataFrame]
NOC = "noc-v1"


@pytest.mark.parametrize("agent", ["disc", "copy-previous"])
def test_an_honest_submission_passes_every_check(agent: str, tmp_path: Path) -> None:
    it = made(agent)
    result = found(it.write(tmp_path), it.suite_file)
    assert result["findings"] == {}
    assert {"prompts", "masks", "overlap", "surfaces", "selection", "ends", "summary"} <= set(result["done"])


def test_several_candidates_and_failures_pass_too(tmp_path: Path) -> None:
    for target in ("support:Batched", "support:Broken"):
        it = made("custom", target)
        assert found(it.write(tmp_path), it.suite_file)["findings"] == {}, target


def test_parts_of_the_cases_find_what_the_whole_finds(tmp_path: Path) -> None:
    it = made()
    path = it.write(tmp_path, with_rows(it.data, NOC, change_a_dice))
    findings = [found(path, it.suite_file, part=(i, 2))["findings"] for i in range(2)]
    assert sum("overlap" in f for f in findings) == 1


def change_a_dice(t: Tables) -> None:
    t["steps"].loc[7, "dice"] += 1e-9


def change_a_mask(t: Tables) -> None:
    masks = t["masks"]
    runs = masks.at[5, "counts"].copy()
    runs[0] += 1
    runs[1] -= 1
    masks.at[5, "counts"] = runs


def move_a_click(t: Tables) -> None:
    place = t["prompts"].at[3, "landed"]
    t["prompts"].at[3, "landed"] = np.array([place[0] + 1, place[1]], dtype=np.int32)


def change_what_was_meant(t: Tables) -> None:
    place = t["prompts"].at[3, "meant"]
    t["prompts"].at[3, "meant"] = np.array([place[0], place[1] + 1], dtype=np.int32)


def flip_a_label(t: Tables) -> None:
    t["prompts"].loc[3, "positive"] = ~t["prompts"].loc[3, "positive"]


def swap_two_steps(t: Tables) -> None:
    for table in ("steps", "prompts", "masks"):
        frame = t[table]
        first = frame[frame["case_id"] == frame["case_id"].iloc[0]]
        a, b = first.index[first["step"] == 2], first.index[first["step"] == 3]
        frame.loc[a, "step"], frame.loc[b, "step"] = 3, 2
        t[table] = frame.sort_values(["case_id", "level", "repeat", "step"], kind="stable")


def drop_a_hard_case(t: Tables) -> None:
    hard = t["episodes"].sort_values("final_dice")["case_id"].iloc[0]
    for table in t:
        t[table] = t[table][t[table]["case_id"] != hard]


def swap_two_cases(t: Tables) -> None:
    a, b = t["episodes"]["case_id"].unique()[:2]
    about = t["episodes"].drop_duplicates("case_id").set_index("case_id")[["group", "modality", "target"]]
    for table in t:
        t[table]["case_id"] = t[table]["case_id"].map(lambda c: {a: b, b: a}.get(c, c))
        for name in about.columns.intersection(t[table].columns):
            t[table][name] = t[table]["case_id"].map(about[name])
        t[table] = t[table].sort_values(["case_id", "level", "repeat"], kind="stable")


def add_a_repeat(t: Tables) -> None:
    for table, frame in t.items():
        more = frame[frame["case_id"] == frame["case_id"].iloc[0]].assign(repeat=1)
        t[table] = pd.concat([frame, more]).sort_values(["case_id", "level", "repeat"], kind="stable")


def double_an_episode(t: Tables) -> None:
    for table, frame in t.items():
        t[table] = pd.concat([frame, frame[frame["case_id"] == frame["case_id"].iloc[0]]])


def double_an_episode_for_another(t: Tables) -> None:
    a, b = t["episodes"]["case_id"].unique()[:2]
    for table, frame in t.items():
        t[table] = pd.concat([frame[frame["case_id"] != b], frame[frame["case_id"] == a]])


def end_an_episode_early(t: Tables) -> None:
    case_id = t["episodes"]["case_id"].iloc[0]
    for table in ("steps", "prompts", "masks"):
        t[table] = t[table][(t[table]["case_id"] != case_id) | (t[table]["step"] < 12)]
    t["episodes"].loc[t["episodes"]["case_id"] == case_id, "steps"] = 11
    last = t["steps"][(t["steps"]["case_id"] == case_id)]["dice"].iloc[-1]
    t["episodes"].loc[t["episodes"]["case_id"] == case_id, "final_dice"] = last


def change(table: str, column: str, value: Any) -> Callable[[Tables], None]:
    def apply(t: Tables) -> None:
        t[table].loc[t[table].index[0], column] = value

    apply.__name__ = f"{table}_{column}"
    return apply


def terabytes(t: Tables) -> None:
    t["masks"].at[0, "counts"] = np.full(300, 2**32 - 1, dtype=np.uint32)


def too_short(t: Tables) -> None:
    t["masks"].at[0, "counts"] = t["masks"].at[0, "counts"][:-1]


def nothing(t: Tables) -> None:
    t["masks"].at[0, "counts"] = np.array([], dtype=np.uint32)


def not_canonical(t: Tables) -> None:
    t["masks"].at[0, "counts"] = np.concatenate([t["masks"].at[0, "counts"], [0, 0]]).astype(np.uint32)


def drop_a_mask(t: Tables) -> None:
    t["masks"] = t["masks"].drop(index=4)


def a_mask_of_no_step(t: Tables) -> None:
    t["masks"] = pd.concat([t["masks"], t["masks"].tail(1).assign(step=21)])


def ghost(table: str, **values: Any) -> Callable[[Tables], None]:
    """Add a row that belongs to nothing."""

    def apply(t: Tables) -> None:
        t[table] = pd.concat([t[table], t[table].tail(1).assign(**values)], ignore_index=True)

    apply.__name__ = f"ghost_{table}_{next(iter(values))}"
    return apply


GHOSTS = [
    ghost("masks", case_id="zzz-no-such-case"),
    ghost("prompts", case_id="zzz-no-such-case"),
    change("steps", "case_id", "zzz-no-such-case"),
    ghost("masks", level=7.0),
    ghost("prompts", repeat=3),
    ghost("masks", step=21),
    ghost("prompts", step=21),
    change("steps", "step", 21),
    change("masks", "step", 0),
]

TAMPERED: list[tuple[Callable[[Tables], None], str]] = [
    (change_a_dice, "overlap"),
    (change_a_mask, "masks"),
    (move_a_click, "prompts"),
    (change_what_was_meant, "prompts"),
    (flip_a_label, "prompts"),
    (swap_two_steps, "prompts"),
    (drop_a_hard_case, "episodes"),
    (swap_two_cases, "prompts"),
    (add_a_repeat, "archive"),
    (double_an_episode, "archive"),
    (double_an_episode_for_another, "archive"),
    (end_an_episode_early, "prompts"),
    (terabytes, "masks"),
    (too_short, "masks"),
    (nothing, "masks"),
    (not_canonical, "masks"),
    (drop_a_mask, "masks"),
    (a_mask_of_no_step, "masks"),
    (ghost("episodes", case_id="zzz-no-such-case"), "archive"),
    (ghost("steps", step=21), "archive"),
    (change("episodes", "error", "x\x1b[31m"), "ends"),
    *((row_of_nothing, "episodes") for row_of_nothing in GHOSTS),
    (change("steps", "iou", 0.99), "overlap"),
    (change("steps", "oracle_dice", 0.99), "overlap"),
    (change("steps", "hd95", 0.5), "surfaces"),
    (change("steps", "nsd", 0.5), "surfaces"),
    (change("steps", "hd95", None), "surfaces"),
    (change("steps", "dice", float("nan")), "archive"),
    (change("steps", "chosen", -1), "selection"),
    (change("steps", "n_candidates", 3), "selection"),
    (change("steps", "cost", 2), "prompts"),
    (change("steps", "mask_sha256", "0" * 64), "masks"),
    (change("steps", "mask_sha256", None), "masks"),
    (change("steps", "target", "liver"), "cases"),
    (change("episodes", "group", "other"), "cases"),
    (change("episodes", "final_dice", 0.999), "ends"),
    (change("episodes", "status", "failed"), "ends"),
    (change("episodes", "steps", 3), "ends"),
    (change("episodes", "agent_digest", "0" * 64), "runs"),
    (change("prompts", "kind", "box"), "prompts"),
    (change("prompts", "text", "liver"), "prompts"),
    (change("prompts", "cost", 0), "prompts"),
]


@pytest.mark.parametrize(("tamper", "check"), TAMPERED, ids=lambda v: getattr(v, "__name__", str(v)))
def test_a_tampered_submission_is_caught(
    tamper: Callable[[Tables], None], check: str, tmp_path: Path
) -> None:
    it = made()
    result = found(it.write(tmp_path, with_rows(it.data, NOC, tamper)), it.suite_file)
    assert check in result["findings"], result["findings"]


@pytest.mark.parametrize("tamper", GHOSTS, ids=lambda v: str(v.__name__))
def test_rows_of_nothing_are_found_without_the_data(tamper: Callable[[Tables], None], tmp_path: Path) -> None:
    it = made()
    result = found(it.write(tmp_path, with_rows(it.data, NOC, tamper)), it.suite_file, replay=False)
    assert "noc-v1: " in result["findings"]["episodes"]
    assert " of step " in result["findings"]["episodes"]


def test_the_first_mismatch_names_case_and_step(tmp_path: Path) -> None:
    it = made()
    result = found(it.write(tmp_path, with_rows(it.data, NOC, change_a_dice)), it.suite_file)
    assert "case dermoscopy-" in result["findings"]["overlap"]
    assert "step 8" in result["findings"]["overlap"]
    assert "dice is" in result["findings"]["overlap"]


def test_a_tampered_manifest_is_refused(tmp_path: Path) -> None:
    it = made()
    run = f"runs/{NOC}/run.json"

    def set_run(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
        return lambda s: s["runs"][0].update({key: value})

    changed = {
        "seed": with_submission(it.data, set_run("seed", 1)),
        "digest": with_submission(it.data, set_run("protocol_digest", "0" * 64)),
        "agent": with_submission(it.data, set_run("agent", "sam")),
        "marks": with_submission(it.data, set_run("marks", ["uses truth"])),
        "cases": with_submission(it.data, set_run("cases", 1)),
        "suite": with_submission(it.data, lambda s: s["suite"].update(digest="0" * 64)),
        "prompts": with_submission(it.data, lambda s: s["method"].update(prompts=["click"])),
        "summary": with_submission(it.data, lambda s: s["summary"][NOC]["levels"]["0"].update(area=0.99)),
        "claim": with_submission(it.data, lambda s: s["summary"].pop(NOC)),
        "declared": with_submission(it.data, lambda s: s["declared"]["seconds"][NOC].update(predict=0.0)),
        "run seed": with_json(it.data, run, lambda r: r.update(seed=1)),
        "budget": with_json(it.data, run, lambda r: r["protocol"].update(budget=99)),
        "dirty": with_json(it.data, run, lambda r: r.update(git={"commit": "x", "dirty": True})),
        "settings": with_json(it.data, run, lambda r: r["agent"]["settings"].update(radius=0.2)),
        "order": with_submission(it.data, lambda s: s["runs"].reverse()),
        "no time": with_json(it.data, run, lambda r: r.update(created="9999-99-99T99:99:99+00:00")),
        "random": with_json(it.data, run, lambda r: r["agent"].update(random_weights=True)),
    }
    for name, data in changed.items():
        assert data != it.data, name
        assert found(it.write(tmp_path, data), it.suite_file, replay=False)["findings"], name


def test_a_run_left_out_is_refused(tmp_path: Path) -> None:
    it = made()
    files = {k: v for k, v in contents(it.data).items() if not k.startswith("runs/cosmos-s5-v1/")}

    def leave_out(s: dict[str, Any]) -> None:
        s["runs"] = [r for r in s["runs"] if r["protocol"] != "cosmos-s5-v1"]
        s["summary"].pop("cosmos-s5-v1")
        s["declared"]["seconds"].pop("cosmos-s5-v1")

    result = found(it.write(tmp_path, packed(files, leave_out)), it.suite_file)
    assert "cosmos-s5-v1 is missing" in result["findings"]["card"]


class Mutations:
    """Random edits of one case of one run; each makes the rows contradict the masks or the truth."""

    def __init__(self, opened: Opened, cases: list[Case], seed: int) -> None:
        self.opened = opened
        self.cases = cases
        self.random = random.Random(seed)

    def one(self) -> tuple[str, Findings]:
        run = self.random.choice(self.opened.runs)
        case = self.random.choice(self.cases)
        table = self.random.choice(["episodes", "steps", "prompts", "masks"])
        frame = run.claimed.masks.rows if table == "masks" else run.claimed.table(table)
        rows = frame.index[frame["case_id"] == case.case_id].tolist()
        how, claimed = getattr(self, f"_{table}")(run.claimed, rows)
        return f"{run.protocol.id} {case.case_id} {how}", self.replayed(run.protocol, claimed, case)

    def replayed(self, protocol: Protocol, claimed: Claimed, case: Case) -> Findings:
        findings = Findings()
        player = Replayer(claimed, Rules(protocol, self.opened.suite.seed), findings)
        player.play(case)
        compare(claimed, player.finish([case.case_id]), [case.case_id], findings)
        return findings

    def _masks(self, claimed: Claimed, rows: list[int]) -> tuple[str, Claimed]:
        masks, row = claimed.masks, self.random.choice(rows)
        case = next(c for c in self.cases if c.case_id == masks.rows["case_id"][row])
        mask = masks.mask(row, case.size)
        assert mask is not None
        y, x = self.random.randrange(case.size[0]), self.random.randrange(case.size[1])
        changed = mask.copy()
        changed[y, x] = ~changed[y, x]
        runs = encode(changed).counts
        if self.random.random() < 0.2:  # run lengths that do not add up
            runs = masks.runs(row).copy()
            runs[self.random.randrange(len(runs))] += self.random.choice([1, 2**31])
        start, end = masks.offsets[row], masks.offsets[row + 1]
        counts = np.concatenate([masks.counts[:start], runs, masks.counts[end:]])
        offsets = masks.offsets.copy()
        offsets[row + 1 :] += len(runs) - (end - start)
        totals, plain = masks.totals.copy(), masks.plain.copy()
        totals[row] = int(runs.sum(dtype=np.int64))
        plain[row] = not (runs[1:] == 0).any()
        new = replace(masks, counts=counts, offsets=offsets, totals=totals, plain=plain)
        return f"mask row {row} at {x},{y}", replace(claimed, masks=new)

    def _edit(self, claimed: Claimed, table: str, rows: list[int], columns: list[str]) -> tuple[str, Claimed]:
        frame = claimed.table(table).copy()
        row, column = self.random.choice(rows), self.random.choice(columns)
        kind = self.random.choice(["edit", "edit", "edit", "drop", "double"])
        if kind == "drop":
            frame = frame.drop(index=row).reset_index(drop=True)
        elif kind == "double":
            frame = pd.concat([frame, frame.loc[[row]]], ignore_index=True)
        else:
            frame.at[row, column] = self._other(frame.at[row, column])
        return f"{table} {kind} {column} row {row}", replace(claimed, **{table: frame})

    def _other(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            moved = value.copy()
            moved[self.random.randrange(len(moved))] += self.random.choice([-1, 1, 7])
            return moved
        if isinstance(value, (bool, np.bool_)):
            return not value
        if isinstance(value, str):
            return value[:-1] + ("x" if value[-1:] != "x" else "y")
        if value is None or value != value:
            return None
        if isinstance(value, (float, np.floating)):
            return float(np.nextafter(value, 2.0)) if self.random.random() < 0.5 else self.random.random()
        return int(value) + self.random.choice([-1, 1, 5])

    def _episodes(self, claimed: Claimed, rows: list[int]) -> tuple[str, Claimed]:
        return self._edit(claimed, "episodes", rows, ["group", "target", "status", "steps", "final_dice"])

    def _steps(self, claimed: Claimed, rows: list[int]) -> tuple[str, Claimed]:
        columns = ["dice", "iou", "oracle_dice", "chosen", "n_candidates", "cost", "mask_sha256", "step"]
        return self._edit(claimed, "steps", rows, columns)

    def _prompts(self, claimed: Claimed, rows: list[int]) -> tuple[str, Claimed]:
        return self._edit(claimed, "prompts", rows, ["landed", "meant", "positive", "kind", "step", "index"])


def caught(n: int, tmp_path: Path, agent: str = "disc") -> None:
    it = made(agent)
    opened = open_submission(it.write(tmp_path), it.suite_file)
    mutations = Mutations(opened, list(it.suite.loaded()), 7)
    for run in opened.runs:
        for case in mutations.cases:
            assert mutations.replayed(run.protocol, run.claimed, case).first == {}, "nothing was changed"
    missed = [how for how, findings in (mutations.one() for _ in range(n)) if not findings.first]
    assert missed == []


def test_random_inconsistent_edits_are_all_caught(tmp_path: Path) -> None:
    caught(150, tmp_path)


@pytest.mark.slow
def test_thousands_of_random_inconsistent_edits_are_all_caught(tmp_path: Path) -> None:
    caught(4000, tmp_path)
