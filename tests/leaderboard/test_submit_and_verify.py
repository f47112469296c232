"""From runs to an archive, a verdict, an accepted folder and a pull-request check."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from submission_support import PROTOCOLS, contents, found, made, tiny_suite, with_submission

from simclick import cli
from simclick.errors import ConfigError
from simclick.leaderboard import folders
from simclick.leaderboard.accept import write_entry
from simclick.leaderboard.changed import check_changed
from simclick.leaderboard.entries import load_entries
from simclick.leaderboard.folders import check_folder
from simclick.leaderboard.pack import pack_bytes
from simclick.leaderboard.suites import load_suite, roles_of, suite_names, suite_text
from simclick.leaderboard.verify import Check, Verdict, _verdict, verify


def test_packing_gives_the_same_bytes_again() -> None:
    it = made()
    assert pack_bytes(it.runs, it.card, it.suite)[0] == it.data
    assert pack_bytes(it.runs[::-1], it.card, it.suite)[0] == it.data


def test_an_archive_says_nothing_of_the_submitters_paths() -> None:
    it = made()
    for name, data in contents(it.data).items():
        if name.endswith(".json"):
            assert b"/tmp" not in data, name
            assert str(it.runs[0].path).encode() not in data, name


def described(run: Any, **changes: Any) -> Any:
    return replace(run, description={**run.description, **changes})


def test_what_cannot_stand_on_a_board_is_refused_with_the_reason() -> None:
    it = made()
    noc, box, noise = it.runs
    agent = noc.description["agent"]
    cases: list[tuple[list[Any], Any, str]] = [
        ([noc, box], it.card, "incomplete: no run of click-noise-short-v1"),
        ([], it.card, "no runs"),
        ([noc, noc, box, noise], it.card, "of one protocol"),
        ([described(noc, git={"commit": "abc", "dirty": True}), box, noise], it.card, "dirty"),
        ([described(noc, marks=["random weights"]), box, noise], it.card, "random"),
        ([described(noc, marks=["uses truth"]), box, noise], it.card, "oracle: true"),
        ([described(noc, seed=1), box, noise], it.card, "needs seed=0"),
        ([described(noc, save_masks=False), box, noise], it.card, "save_masks=true"),
        ([replace(noc, sealed=False), box, noise], it.card, "not finished"),
        ([described(noc, agent={**agent, "digest": "0" * 64}), box, noise], it.card, "different agents"),
        ([noc, box, noise], replace(it.card, prompts=("click",)), "prompts are click"),
        (
            [described(noc, protocol={**noc.description["protocol"], "digest": "0" * 64}), box, noise],
            it.card,
            "the digest",
        ),
        (
            [described(noc, protocol={**noc.description["protocol"], "id": "noc-v1+"}), box, noise],
            it.card,
            "not in",
        ),
    ]
    for runs, card, reason in cases:
        with pytest.raises(ConfigError, match=reason.replace("+", r"\+")) as error:
            pack_bytes(runs, card, it.suite)
        assert "\n" not in str(error.value)
    fewer = replace(it.suite, cases=(*it.suite.cases, replace(it.suite.cases[0], case_id="hard")))
    with pytest.raises(ConfigError, match="1 of 4 cases of suite tiny-v1 are missing"):
        pack_bytes(it.runs, it.card, fewer)


def test_an_oracle_that_says_so_is_packed_and_marked(tmp_path: Path) -> None:
    it = made("oracle")
    assert it.card.oracle
    assert json.loads(contents(it.data)["submission.json"])["runs"][0]["marks"] == ["uses truth"]
    assert found(it.write(tmp_path), it.suite_file)["findings"] == {}
    hidden = with_submission(it.data, lambda s: s["method"].update(oracle=False))
    assert "oracle" in found(it.write(tmp_path, hidden), it.suite_file)["findings"]["card"]


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Verdict]:
    """Accept the tiny submission, as if simclick shipped its suite."""
    it = made()
    folder = tmp_path_factory.mktemp("accepted")
    result = found(it.write(folder), it.suite_file, accept=True)
    verdict = _verdict(result, Check("reproduced", "skipped", "not asked"), True)
    verdict = replace(verdict, suite=it.suite_file)
    write_entry(verdict, folder / "submissions", url="https://example.org/a.zip")
    return folder / "submissions", verdict


def test_an_accepted_folder_holds_what_a_board_needs(accepted: tuple[Path, Verdict]) -> None:
    folder, verdict = accepted
    (entry,) = load_entries(folder)
    it = made()
    assert (entry.suite, entry.slug, entry.tier, entry.agent, entry.oracle) == (
        "tiny-v1",
        "disc",
        "replayed",
        "disc",
        False,
    )
    assert entry.card == it.card
    assert entry.verdict["archive"]["sha256"] == verdict.about["sha256"]  # type: ignore[index]
    assert entry.verdict["archive"]["url"] == "https://example.org/a.zip"
    for run in it.runs:
        name = run.protocol.id
        steps, original = entry.steps(name), run.table("steps")
        assert list(steps.columns) == list(original.columns)
        for column in (
            "case_id",
            "level",
            "repeat",
            "step",
            "cost",
            "dice",
            "oracle_dice",
            "target",
            "chosen",
        ):
            assert steps[column].tolist() == original[column].tolist(), column
        assert abs(steps["iou"] - original["iou"]).max() < 1e-12
        episodes = entry.episodes(name)
        assert episodes["final_dice"].tolist() == run.table("episodes")["final_dice"].tolist()
    worst = entry.worst()
    assert len(worst) == 9
    assert worst[0]["steps"][0]["prompts"][0]["kind"] in {"click", "box"}
    assert all((entry.folder / "worst" / w["picture"]).read_bytes()[:4] == b"\x89PNG" for w in worst)
    assert sum(p.stat().st_size for p in entry.folder.rglob("*") if p.is_file()) < 600_000


def test_a_changed_accepted_folder_is_refused(accepted: tuple[Path, Verdict], tmp_path: Path) -> None:
    import shutil

    for name, change in (
        ("verdict.json", lambda text: text.replace('"replayed"', '"best"', 1)),
        ("verdict.json", lambda text: text[:-20]),
        ("submission.json", lambda text: text.replace('"disc"', '"<script>"', 1)),
        ("submission.json", lambda text: text + text),
    ):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        shutil.copytree(accepted[0], folder)
        path = folder / "tiny-v1" / "disc" / name
        path.write_text(change(path.read_text()))
        with pytest.raises(ConfigError, match="tiny-v1"):
            load_entries(folder)
    folder = tmp_path / "rows"
    shutil.copytree(accepted[0], folder)
    rows = folder / "tiny-v1" / "disc" / "noc-v1.steps.parquet"
    rows.write_bytes(rows.read_bytes()[:-1] + b"x")
    (entry,) = load_entries(folder)
    with pytest.raises(ConfigError, match="SHA-256"):
        entry.steps("noc-v1")
    with pytest.raises(ConfigError, match="no such folder"):
        load_entries(tmp_path / "missing")


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


def test_changed_folders_are_checked_against_a_git_base(
    accepted: tuple[Path, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr(folders, "suite_names", lambda: ["tiny-v1"])
    monkeypatch.setattr(folders, "load_suite", lambda name: made().suite)
    folder = tmp_path / "submissions"
    folder.mkdir()
    (folder / "README").write_text("x")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "base")
    assert check_changed(folder, "HEAD") == []
    shutil.copytree(accepted[0], folder, dirs_exist_ok=True)
    (outcome,) = check_changed(folder, "HEAD")
    assert not outcome.passed
    assert "claims replayed, established here is self-reported" in outcome.detail
    assert "--archives" in outcome.detail
    (outcome,) = check_changed(folder, "HEAD", allow_unreplayed=True)
    assert outcome.passed, outcome.detail
    assert outcome.detail.startswith("NOT PROVED, let pass by --allow-unreplayed")
    target = folder / "tiny-v1" / "disc"
    submission = json.loads((target / "submission.json").read_text())
    submission["summary"]["noc-v1"]["levels"]["0"]["area"] = 0.99
    (target / "submission.json").write_text(json.dumps(submission))
    (outcome,) = check_changed(folder, "HEAD", allow_unreplayed=True)
    assert not outcome.passed
    with pytest.raises(ConfigError, match="git"):
        check_changed(folder, "no-such-base")
    shutil.rmtree(folder / "tiny-v1")
    (folder / "tiny-v1").mkdir()
    (folder / "tiny-v1" / "evil").symlink_to("/etc")
    (folder / "page.html").write_text("x")
    outcomes = check_changed(folder, "HEAD")
    assert [(o.folder.name, o.passed) for o in outcomes] == [("page.html", False), ("evil", False)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"date": {"a": 1}}, "date"),
        ({"date": "soon"}, "YYYY-MM-DD"),
        ({"verified_with": "9" * 3000}, "at most 40"),
        ({"archive": [1]}, "archive"),
        ({"archive": {"sha256": "0" * 64, "bytes": "many", "url": None}}, "whole number"),
        ({"archive": {"sha256": "0" * 64, "bytes": 1, "url": "javascript:x"}}, "url"),
        ({"checks": [{"verdict": "pass", "detail": ""}]}, "checks"),
        ({"files": {"a": 1}}, "SHA-256"),
    ],
)
def test_a_verdict_that_no_page_could_show_is_refused(
    accepted: tuple[Path, Verdict], tmp_path: Path, change: dict[str, object], said: str
) -> None:
    import shutil

    shutil.copytree(accepted[0], tmp_path / "s")
    path = tmp_path / "s" / "tiny-v1" / "disc" / "verdict.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ConfigError, match=said):
        load_entries(tmp_path / "s")


def test_files_that_are_no_part_of_a_submission_are_refused(
    accepted: tuple[Path, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr(folders, "suite_names", lambda: ["tiny-v1"])
    monkeypatch.setattr(folders, "load_suite", lambda name: made().suite)
    shutil.copytree(accepted[0], tmp_path / "s")
    target = tmp_path / "s" / "tiny-v1" / "disc"
    (target / "evil.html").write_text("x")
    verdict = json.loads((target / "verdict.json").read_text())
    verdict["files"]["evil.html"] = hashlib.sha256(b"x").hexdigest()
    (target / "verdict.json").write_text(json.dumps(verdict))
    with pytest.raises(ConfigError, match="not a file of a submission"):
        check_folder(target)


def test_a_tier_needs_its_checks(
    accepted: tuple[Path, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr(folders, "suite_names", lambda: ["tiny-v1"])
    monkeypatch.setattr(folders, "load_suite", lambda name: made().suite)
    shutil.copytree(accepted[0], tmp_path / "s")
    target = tmp_path / "s" / "tiny-v1" / "disc"
    check_folder(target)
    text = (target / "verdict.json").read_text()
    (target / "verdict.json").write_text(text.replace('"tier": "replayed"', '"tier": "reproduced"'))
    with pytest.raises(ConfigError, match="'reproduced' did not pass"):
        check_folder(target)
    (target / "verdict.json").write_text(text)
    (target / "more.txt").write_text("x")
    with pytest.raises(ConfigError, match="not a file of a submission"):
        check_folder(target)


def test_verify_in_its_worker_replays_and_self_reports(tmp_path: Path) -> None:
    it = made()
    path = it.write(tmp_path)
    verdict = verify(path, suite=it.suite_file)
    assert verdict.passed, verdict.checks
    assert verdict.tier == "replayed"
    assert [c.verdict for c in verdict.checks].count("skipped") == 1
    assert verify(path, suite=it.suite_file, replay=False).tier == "self-reported"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_commands_and_their_exit_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, card, _ = run(capsys, "submit", "--template")
    assert (code, "name: My method" in card) == (0, True)
    code, card, _ = run(capsys, "submit", "--card-of", "watershed")
    assert "family: classical" in card
    # Another card than that of the runs' agent, which takes boxes too.
    (tmp_path / "method.yaml").write_text(
        re.sub(r"prompts:\n(- .*\n)+", "prompts: [click]\n", card).replace("name: watershed", "name: Mine")
    )
    it = made()
    runs = [str(r.path) for r in it.runs]
    code, _, err = run(
        capsys, "submit", *runs, "--method", "method.yaml", "--suite", it.suite_file, "--out", "b.zip"
    )
    assert code == 2
    assert err.count("\n") == 1
    assert "prompts" in err or "uncommitted" in err
    assert not (tmp_path / "b.zip").exists()
    assert run(capsys, "verify", "none.zip")[0] == 2
    assert run(capsys, "verify")[0] == 2
    (tmp_path / "bad.zip").write_bytes(b"junk")
    code, out, _ = run(capsys, "verify", "bad.zip", "--quiet")
    assert (code, "fail     archive" in out, "refused" in out) == (1, True, True)


def test_a_suite_is_frozen_listed_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["dataset=phantoms", "dataset.limit=2", "dataset.size=128", "--protocols", "noc-v1"]
    code, out, err = run(
        capsys, "suite", "freeze", *words, "--name", "two-v3", "--roles", "clicks=noc-v1", "--out", "two.yaml"
    )
    assert (code, err) == (0, "")
    suite = load_suite("two.yaml")
    assert (suite.version, len(suite.cases), suite.options["size"]) == (3, 2, 128)
    assert suite.digest in out
    assert "role clicks       noc-v1" in out
    assert suite_text(suite) == (tmp_path / "two.yaml").read_text()
    assert len(list(suite.loaded())) == 2
    assert run(capsys, "suite", "freeze", *words, "--name", "two-v3", "--out", "two.yaml")[0] == 2
    assert run(capsys, "suite", "freeze", *words, "--name", "two", "--out", "x.yaml")[0] == 2
    assert run(capsys, "suite", "show", "two.yaml")[0] == 0
    code, out, _ = run(capsys, "suite", "list")
    assert "phantoms-v1" in out
    assert run(capsys, "suite", "show", "phantom-v1")[2].count("did you mean 'phantoms-v1'") == 1


def test_roles_follow_from_prompts_and_noise_unless_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ("noc-v1", "click-noise-short-v1", "line-scribble-v1", "medsam-box-v1", "box-noise-short-v1")
    assert roles_of([*given, "cosmos-s5-v1"]) == {
        "clicks": "noc-v1",
        "box": "medsam-box-v1",
        "click_noise": "click-noise-short-v1",
        "box_noise": "box-noise-short-v1",
    }
    for name in suite_names():
        suite = load_suite(name)
        assert roles_of([protocol for protocol, _ in suite.protocols]) == suite.roles
    words = ["dataset=phantoms", "dataset.limit=1", "dataset.size=128", "--name", "one-v1"]
    code, out, err = run(
        capsys, "suite", "freeze", *words, "--protocols", "noc-v1,line-scribble-v1", "--out", "one.yaml"
    )
    assert (code, load_suite("one.yaml").roles) == (0, {"clicks": "noc-v1"})
    assert "role clicks       noc-v1" in out
    assert "line-scribble-v1 has no role" in err
    code, _, err = run(
        capsys, "suite", "freeze", *words, "--protocols", "noc-v1", "--roles", "", "--out", "no.yaml"
    )
    assert (code, load_suite("no.yaml").roles) == (0, {})
    assert "noc-v1 has no role" in err


def test_accepting_as_json_prints_json_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    it = made()
    words = [str(it.write(tmp_path)), "--suite", it.suite_file, "--no-replay", "--json"]
    code, out, err = run(capsys, "verify", *words, "--accept", str(tmp_path / "subs"))
    assert (code, err) == (0, "")
    assert json.loads(out)["folder"] == str(tmp_path / "subs" / "tiny-v1" / "disc")
    code, out, _ = run(capsys, "verify", *words)
    assert (code, "folder" in json.loads(out)) == (0, False)


def test_a_site_says_which_suites_and_protocols_have_no_board(
    accepted: tuple[Path, Verdict], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    for roles, said in (
        ({}, "suite tiny-v1: no role, no board"),
        ({"clicks": "noc-v1"}, "suite tiny-v1: protocol cosmos-s5-v1 has no role, no board"),
    ):
        suite = replace(made().suite, roles=roles)
        folder = tmp_path / f"roles-{len(roles)}"
        shutil.copytree(accepted[0], folder / "subs")
        path = folder / "subs" / "tiny-v1" / "disc" / "submission.json"
        path.write_text(path.read_text().replace(made().suite.digest, suite.digest))
        found_by = path.with_name("verdict.json")
        verdict = json.loads(found_by.read_text())
        verdict["files"]["submission.json"] = hashlib.sha256(path.read_bytes()).hexdigest()
        found_by.write_text(json.dumps(verdict))
        (folder / "tiny-v1.yaml").write_text(suite_text(suite))
        words = ["--submissions", str(folder / "subs"), "--suite", str(folder / "tiny-v1.yaml")]
        code, _, err = run(capsys, "leaderboard", "build", *words, "--out", str(folder / "site"), "--quiet")
        assert (code, said in err) == (0, True), err


def test_the_shipped_suites_hold_the_protocols_of_this_version() -> None:
    assert suite_names() == ["mni152-v1", "phantoms-v1"]
    for name, cases, groups in (("phantoms-v1", 126, 30), ("mni152-v1", 36, 1)):
        suite = load_suite(name)
        assert (len(suite.cases), suite.groups, suite.seed) == (cases, groups, 0)
        assert set(suite.roles) == {"clicks", "box", "click_noise", "box_noise"}
        for protocol, _ in suite.protocols:
            suite.protocol(protocol)


def test_the_first_cases_of_phantoms_are_the_suites() -> None:
    suite = load_suite("phantoms-v1")
    assert [c.case_id for c in suite.loaded(part=slice(0, 2))] == [c.case_id for c in suite.cases[:2]]


def test_the_digest_of_a_suite_covers_what_changes_numbers() -> None:
    suite, _ = tiny_suite()
    assert replace(suite, title="other").digest == suite.digest
    changed = [
        replace(suite, seed=1),
        replace(suite, cases=suite.cases[:-1]),
        replace(suite, cases=suite.cases[::-1]),
        replace(suite, protocols=suite.protocols[:-1]),
        replace(suite, roles={}),
        replace(suite, options={}),
    ]
    assert len({suite.digest, *(s.digest for s in changed)}) == len(changed) + 1
    assert [name for name, _ in suite.protocols] == list(PROTOCOLS)
