"""`simclick check`: a class that breaks its contract is told how, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simclick import cli
from simclick.case import Case
from simclick.datasets.base import Dataset, DatasetInfo
from simclick.testing_dataset import check_dataset
from support import ToyDataset, make_case

MODULE = """
import numpy as np
from simclick.agent import AgentInfo, SimpleAgent
from simclick.prompts import Round, click

class Whole(SimpleAgent):
    info = AgentInfo("whole")
    def segment(self, image, request):
        return np.ones(request.size, bool)

class Small(SimpleAgent):
    info = AgentInfo("small")
    def segment(self, image, request):
        return np.ones((2, 2), bool)

class Unmade(SimpleAgent):
    def __init__(self, path):
        open(path)
    def segment(self, image, request):
        return None

class Stopping(SimpleAgent):
    info = AgentInfo("stopping")
    def segment(self, image, request):
        raise KeyboardInterrupt

class Impostor(Whole):
    info = AgentInfo("SAM-vit-b")

class Stopped(SimpleAgent):
    def __init__(self):
        raise KeyboardInterrupt
    def segment(self, image, request):
        return None

class Outside:
    name, version, draws_chance, kinds = "outside", 1, False, frozenset({"click"})
    def propose(self, case, masks, histories, draws):
        return [Round((click(-1, 0),)) for _ in masks]

class Buggy:
    name, version, draws_chance, kinds = "buggy", 1, False, frozenset({"click"})
    def propose(self, case, masks, histories, draws):
        return masks + "1"

class NoInfo(SimpleAgent):
    def segment(self, image, request):
        return None

PROTOCOL = {"id": "mine-v1", "annotator": "center-click", "budget": 3}
LACKING = {"id": "mine-v1"}
STRANGE = {"id": "mine-v1", "annotator": "centre-click"}

class Nothing:
    pass

number = 5
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checked_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["checked_module:Whole"], 0, "agent whole: keeps its contract"),
        (["checked_module:Small"], 1, "agent small: breaks its contract: candidates are bool[1, 2, 2]"),
        (["checked_module:Stopping"], 130, "in segment, was interrupted: the check did not end"),
        (["checked_module:Stopped"], 2, "making it was interrupted"),
        (["checked_module:Impostor"], 1, "is that of simclick's own 'sam_vit_b': choose another"),
        (["checked_module:Outside"], 1, "annotator outside: breaks its contract: "),
        (["checked_module:Buggy"], 1, "annotator buggy: checked_module.py, line 44, in propose, raised"),
        (["checked_module:NoInfo"], 1, "agent: breaks its contract: it must set self.info to an AgentInfo"),
        (["checked_module:PROTOCOL"], 0, "protocol: keeps its contract (id mine-v1, digest "),
        (["checked_module:LACKING"], 2, "of checked_module:LACKING lacks the key annotator"),
        (["checked_module:STRANGE"], 2, "did you mean 'center-click'"),
        (["checked_module:Unmade"], 2, "making it raised TypeError"),
        (["checked_module:Unmade", "path=/no/such"], 2, "making it raised FileNotFoundError"),
        (["checked_module:Nothing"], 2, "neither an Agent, a Dataset nor a Protocol"),
        (["checked_module:number"], 2, "gives a int: neither"),
        (["checked_module:Whol"], 2, "did you mean 'Whole'"),
        (["no_such_module:X"], 2, "no module named 'no_such_module'"),
        (["grabcat"], 2, "neither module:Class nor a registered name; did you mean 'grabcut'"),
        (["agent:grabcat"], 2, "unknown agent 'grabcat'"),
        (["checked_module:Whole", "radius"], 2, "not of the form key=value"),
        (["disc", "radius=0.2"], 0, "agent disc: keeps its contract"),
    ],
)
def test_it_says_what_is_wrong(
    module: None, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", *words]) == code
    out, err = capsys.readouterr()
    assert said in (err if code == 2 else out)
    assert (out + err).count("\n") == 1


class Faulty(ToyDataset):
    def __init__(self, how: str) -> None:
        super().__init__(3)
        self.how = how
        self.loads = 0
        if how == "no info":
            self.info = None  # type: ignore[assignment]
        if how == "pickle":
            self.hook = lambda: 0

    def references(self) -> Sequence[Any]:
        self.loads += 1
        if self.how == "unstable":
            return range(self.loads)
        return [] if self.how == "empty" else range(3)

    def load(self, reference: int) -> Case:
        self.loads += 1
        if self.how == "none":
            return None  # type: ignore[return-value]
        changes: dict[str, Any] = {
            "same id": {"case_id": "a"},
            "no id": {"case_id": ""},
            "no group": {"group": ""},
            "name": {"dataset": "other"},
            "drifts": {"target": str(self.loads)},
        }.get(self.how, {})
        if self.how == "raises":
            raise OSError("disk on fire")
        return make_case(reference, **changes)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("no info", "must set self.info"),
        ("empty", "references\\(\\) is empty"),
        ("unstable", "differ when they are listed again"),
        ("none", "must return a Case, not a NoneType"),
        ("raises", "reference 0: load raised OSError: disk on fire"),
        ("same id", "references 0 and 1 have the same case_id, 'a'"),
        ("no id", "case_id must not be empty"),
        ("no group", "group must not be empty"),
        ("name", "case.dataset is 'other', info.name 'toy'"),
        ("drifts", "is another case when it is loaded again"),
        ("pickle", "cannot be pickled"),
    ],
)
def test_each_breach_of_a_data_set_is_an_assertion_in_words(how: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_dataset(Faulty(how))


class Forgetful(Dataset):
    """Another case once it was pickled."""

    def __init__(self) -> None:
        super().__init__()
        self.info = DatasetInfo("toy")
        self.bright = True

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "bright": False}

    def references(self) -> Sequence[int]:
        return [0]

    def load(self, reference: int) -> Case:
        image = np.full((40, 48, 3), 200 if self.bright else 10, np.uint8)
        return make_case(reference, image=image)


def test_a_pickled_data_set_must_give_the_same_cases() -> None:
    with pytest.raises(AssertionError, match="in a pickled copy"):
        check_dataset(Forgetful())


def test_sound_data_sets_pass_and_the_limit_holds() -> None:
    assert check_dataset(ToyDataset(6)) == 6
    assert check_dataset(ToyDataset(6), limit=2) == 2
    assert check_dataset(ToyDataset(30), limit=0) == 30


def test_without_a_target_the_target_alone_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check"]) == 2
    err = capsys.readouterr().err
    assert "required: TARGET (" in err
    assert "key=value" not in err
