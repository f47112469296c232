"""The conformance check for data sets; raises AssertionError with what was broken."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from itertools import islice
from typing import Any

from simclick.case import Case
from simclick.datasets.base import Dataset, DatasetInfo

__all__ = ["check_dataset"]


def check_dataset(dataset: Dataset, limit: int = 20) -> int:
    """Check that a data set keeps its contract.

    References are listed twice alike and survive pickling; each gives a `Case` that carries the data set's
    name, has an id of its own and a group, and is the same when it is loaded again, in another order, and
    by a pickled copy of the data set (worker processes get one). (`Case` itself checks its arrays.)

    Args:
        dataset: The data set.
        limit: How many cases to load, from the start; 0 loads all.

    Returns:
        How many cases were loaded.

    Raises:
        AssertionError: When it does not; says how and for which reference.
    """
    _need(isinstance(dataset, Dataset), f"{type(dataset).__name__} is not a subclass of Dataset")
    info = getattr(dataset, "info", None)
    _need(isinstance(info, DatasetInfo), "the data set must set self.info to a DatasetInfo")
    assert isinstance(info, DatasetInfo)
    _need(bool(info.name), "info.name must not be empty")
    references = list(dataset.references())
    _need(bool(references), "references() is empty: there is nothing to run")
    _need(list(dataset.references()) == references, "references() differ when they are listed again")
    _need(len(dataset) == len(references), "len() is not the number of references")
    chosen = list(islice(references, limit or None))
    sums: dict[str, str] = {}
    owner: dict[str, Any] = {}
    for reference in chosen:
        case = _loaded(dataset, reference, info)
        first = owner.get(case.case_id)
        _need(
            case.case_id not in owner,
            f"references {first!r} and {reference!r} have the same case_id, {case.case_id!r}",
        )
        owner[case.case_id] = reference
        sums[case.case_id] = case.sha256()
    _check_again(dataset, chosen[::-1], sums, "is another case when it is loaded again")
    try:
        copy = pickle.loads(pickle.dumps((dataset, chosen)))
    except Exception as error:
        words = f"the data set or its references cannot be pickled: {type(error).__name__}: {error}"
        raise AssertionError(words) from error
    _check_again(copy[0], copy[1], sums, "is another case in a pickled copy of the data set")
    return len(chosen)


def _need(condition: bool, words: str) -> None:
    if not condition:
        raise AssertionError(words)


def _loaded(dataset: Dataset, reference: Any, info: DatasetInfo) -> Case:
    where = f"reference {reference!r}"
    try:
        case = dataset.load(reference)
    except Exception as error:
        raise AssertionError(f"{where}: load raised {type(error).__name__}: {error}") from error
    _need(isinstance(case, Case), f"{where}: load must return a Case, not a {type(case).__name__}")
    _need(bool(case.case_id), f"{where}: case_id must not be empty")
    _need(bool(case.group), f"{where}: group must not be empty: statistics resample groups")
    _need(case.dataset == info.name, f"{where}: case.dataset is {case.dataset!r}, info.name {info.name!r}")
    return case


def _check_again(dataset: Dataset, references: Sequence[Any], sums: dict[str, str], words: str) -> None:
    for reference in references:
        case = dataset.load(reference)
        _need(sums.get(case.case_id) == case.sha256(), f"reference {reference!r} {words}")
