from __future__ import annotations

import pytest

from simclick.prompts import Round, box, click, everything, scribble, text


def test_noise_moves_where_it_landed_never_what_was_meant() -> None:
    moved = click(3, 4).moved((5, 6))
    assert (moved.landed, moved.meant, moved.positive) == ((5, 6), (3, 4), True)


def test_an_agent_sees_only_where_prompts_landed() -> None:
    round_ = Round((click(3, 4, positive=False).moved((5, 6), positive=True), box(0, 1, 2, 3)))
    seen = round_.seen()
    assert seen.prompts[0] == click(5, 6, positive=True)
    assert seen.prompts[1] is round_.prompts[1]
    assert seen.seen() is seen, "nothing is hidden in what was seen"


def test_cost_is_counted_in_clicks() -> None:
    both = Round((box(0, 0, 1, 1), click(0, 0)))
    assert both.cost() == 3
    assert both.cost({"box": 5, "click": 1}) == 6
    assert Round((scribble([(0, 0), (3, 3)]),)).cost() == 3
    assert Round((text("liver"), everything())).cost() == 1


def test_an_empty_round_does_not_exist() -> None:
    with pytest.raises(ValueError, match="at least one prompt"):
        Round(())
