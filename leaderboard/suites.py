"""Suites: what a leaderboard ranks on. The contents of a data set, protocols, and what feeds which column.

A suite is one YAML file; those that simclick ships are in ``conf/suite/``. It is never edited: a new
version supersedes it. Its digest covers everything that may change a number.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from simclick.case import Case
from simclick.errors import ConfigError, DataError, unknown_name
from simclick.harness.specs import DatasetSpec
from simclick.leaderboard.limits import RefusedError, canonical_json, check_keys, check_text, read_yaml
from simclick.protocol import Protocol, load_protocol

__all__ = [
    "ROLES",
    "Suite",
    "SuiteCase",
    "freeze",
    "load_suite",
    "roles_of",
    "suite_names",
    "suite_text",
]

ROLES = ("clicks", "box", "click_noise", "box_noise")
"""What a protocol may feed: the columns of clicks, of the box, and of robustness to each."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}-v([1-9][0-9]{0,3})")
_SHA = re.compile(r"[0-9a-f]{64}")
_KEYS = frozenset(
    {"name", "version", "title", "description", "dataset", "seed", "protocols", "roles", "cases"}
)
_MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class SuiteCase:
    """One case of a suite: its id, its group, and the hash of its content (`Case.sha256`)."""

    case_id: str
    group: str
    sha256: str


@dataclass(frozen=True)
class Suite:
    """One suite.

    Attributes:
        name: Its name, which ends in its version: ``phantoms-v1``.
        version: The version.
        title: One line for people.
        description: What it is for.
        dataset: Registered name of the data set.
        options: Options of the data set, without what depends on the machine (``root``).
        seed: Seed of all draws.
        protocols: Id and digest of each protocol, in order.
        roles: Which protocol feeds which columns, by role.
        cases: The cases, in the data set's order.
    """

    name: str
    version: int
    title: str
    description: str
    dataset: str
    options: Mapping[str, Any]
    seed: int
    protocols: tuple[tuple[str, str], ...]
    roles: Mapping[str, str]
    cases: tuple[SuiteCase, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of all but title and description."""
        content = {k: v for k, v in self.as_dict().items() if k not in {"title", "description"}}
        return hashlib.sha256(canonical_json(content)).hexdigest()

    @property
    def groups(self) -> int:
        """Number of groups."""
        return len({case.group for case in self.cases})

    @property
    def idle(self) -> list[str]:
        """Protocols without a role: they are run and verified, and feed no board."""
        fed = set(self.roles.values())
        return [name for name, _ in self.protocols if name not in fed]

    def as_dict(self) -> dict[str, Any]:
        """Return the suite as plain values, as its file holds them."""
        return {
            "name": self.name,
            "version": self.version,
            "title": self.title,
            "description": self.description,
            "dataset": {"name": self.dataset, "options": dict(self.options)},
            "seed": self.seed,
            "protocols": [{"name": name, "digest": digest} for name, digest in self.protocols],
            "roles": dict(self.roles),
            "cases": [{"case_id": c.case_id, "group": c.group, "sha256": c.sha256} for c in self.cases],
        }

    def protocol(self, name: str) -> Protocol:
        """Return a protocol of the suite.

        Raises:
            ConfigError: When the suite has none of that name, or this version of simclick holds
                another protocol under it.
        """
        digests = dict(self.protocols)
        if name not in digests:
            raise unknown_name(f"protocol of suite {self.name}", name, digests)
        protocol = load_protocol(name)
        if protocol.digest != digests[name]:
            raise ConfigError(
                f"suite {self.name}: protocol {name} has the digest {digests[name][:12]}, here it is "
                f"{protocol.digest[:12]}; use the version of simclick that the suite was made with"
            )
        return protocol

    def loaded(self, local: Mapping[str, Any] | None = None, part: slice = slice(None)) -> Iterator[Case]:
        """Yield the cases of a part of the suite in order, each checked against its hash.

        Args:
            local: Options that depend on the machine, for example ``{"root": folder}``.
            part: Which cases, by position.

        Raises:
            ConfigError: When the data set cannot be made.
            DataError: When a case is missing or its content is another.
        """
        dataset = DatasetSpec(self.dataset, {**self.options, **(local or {})}).make()
        references = dataset.references()
        found: dict[str, Any] | None = None
        for place in range(len(self.cases))[part]:
            wanted = self.cases[place]
            case = dataset.load(references[place]) if place < len(references) else None
            if case is None or case.case_id != wanted.case_id:
                if found is None:
                    found = {case.case_id: reference for reference, case in dataset.items()}
                if wanted.case_id not in found:
                    raise DataError(f"suite {self.name}: the data have no case {wanted.case_id!r}")
                case = dataset.load(found[wanted.case_id])
            if case.sha256() != wanted.sha256:
                raise DataError(
                    f"suite {self.name}: case {wanted.case_id!r} has other content than the suite's"
                )
            yield case


def suite_names() -> list[str]:
    """Return the names of all shipped suites, sorted."""
    folder = files("simclick.conf") / "suite"
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def load_suite(name: str) -> Suite:
    """Return a suite: a shipped one by its name, or a file's by its path (``….yaml``).

    Raises:
        ConfigError: When there is none, or the file is not a suite; one line.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name).expanduser()
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror or error}") from None
    else:
        if name not in suite_names():
            raise unknown_name("suite", name, suite_names())
        data = (files("simclick.conf") / "suite" / f"{name}.yaml").read_bytes()
    try:
        return _suite(data, name)
    except RefusedError as error:
        raise ConfigError(str(error)) from None


def freeze(
    name: str,
    spec: DatasetSpec,
    protocols: Sequence[str],
    roles: Mapping[str, str] | None = None,
    *,
    title: str = "",
    description: str = "",
    seed: int = 0,
    limit: int | None = None,
) -> Suite:
    """Return a suite of a data set as it is now: every case is loaded once and hashed.

    Args:
        name: Its name, which ends in its version: ``my-data-v1``.
        spec: The data set; its option ``root`` is left out of the suite.
        protocols: Ids of shipped protocols.
        roles: Which of them feeds which columns; keys from `ROLES`. None: as `roles_of` says.
        title: One line for people.
        description: What it is for.
        seed: Seed of all draws.
        limit: Take only the first cases.

    Raises:
        ConfigError: On a bad name, protocol or role, or an option that cannot be written.
        DataError: When a case cannot be loaded.
    """
    version = _NAME.fullmatch(name)
    if version is None:
        raise ConfigError(f"a suite is called like my-data-v1 (small letters, digits, dashes), not {name!r}")
    options = {k: v for k, v in spec.options.items() if k not in {"root", "limit"} and v is not None}
    try:
        options = json.loads(json.dumps(options))
    except TypeError as error:
        raise ConfigError(f"suite {name}: the options of data set {spec.name}: {error}") from None
    cases = []
    for case in spec.make():
        cases.append(SuiteCase(case.case_id, case.group, case.sha256()))
        if len(cases) == limit:
            break
    pairs = tuple((p, load_protocol(p).digest) for p in protocols)
    chosen = roles_of(protocols) if roles is None else dict(roles)
    suite = Suite(
        name, int(version[1]), title, description, spec.name, options, seed, pairs, chosen, tuple(cases)
    )
    try:
        return _checked(suite.as_dict(), f"suite {name}")
    except RefusedError as error:
        raise ConfigError(str(error)) from None


def roles_of(protocols: Sequence[str]) -> dict[str, str]:
    """Return the roles that protocols take by themselves, by role in the order of `ROLES`.

    A protocol of clicks alone feeds ``clicks``, under noise ``click_noise``; one of boxes alone ``box`` and
    ``box_noise``; any other none. Of two that could feed one role, the first in the list does.

    Raises:
        ConfigError: When a protocol is not known.
    """
    found: dict[str, str] = {}
    for name in protocols:
        protocol = load_protocol(name)
        kinds = protocol.make_annotator().kinds
        noisy = protocol.noise != "none"
        if kinds == {"click"}:
            found.setdefault("click_noise" if noisy else "clicks", name)
        elif kinds == {"box"}:
            found.setdefault("box_noise" if noisy else "box", name)
    return {role: found[role] for role in ROLES if role in found}


def suite_text(suite: Suite) -> str:
    """Return the YAML text of a suite."""
    content = suite.as_dict()
    lines = ["# A suite: never edited; a new version supersedes it. Made by `simclick suite freeze`."]
    for key in ("name", "version", "title", "description", "dataset", "seed"):
        lines.append(f"{key}: {json.dumps(content[key], ensure_ascii=False)}")
    for key in ("protocols", "cases"):
        lines.append(f"{key}:")
        lines += [f"- {json.dumps(row, ensure_ascii=False)}" for row in content[key]]
        if key == "protocols":
            lines.append(f"roles: {json.dumps(content['roles'])}")
    return "\n".join(lines) + "\n"


def _suite(data: bytes, where: str) -> Suite:
    return _checked(read_yaml(data, where, _MAX_BYTES), where)


def _checked(content: Mapping[str, Any], where: str) -> Suite:
    values = check_keys(content, where, _KEYS)
    name = check_text(values["name"], f"{where}: name", 80)
    version = _NAME.fullmatch(name)
    if version is None or values["version"] != int(version[1]) or isinstance(values["version"], bool):
        raise RefusedError(f"{where}: name must end in -v and the version")
    dataset = check_keys(values["dataset"], f"{where}: dataset", frozenset({"name", "options"}))
    if not isinstance(dataset["options"], dict):
        raise RefusedError(f"{where}: dataset: options must be a mapping")
    seed = values["seed"]
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise RefusedError(f"{where}: seed must be a whole number ≥ 0")
    protocols = tuple(
        (check_text(p["name"], f"{where}: protocols", 80), _sha(p["digest"], f"{where}: protocols"))
        for p in _rows(values["protocols"], f"{where}: protocols", frozenset({"name", "digest"}))
    )
    cases = tuple(
        SuiteCase(
            check_text(c["case_id"], f"{where}: cases", 300, empty=False),
            check_text(c["group"], f"{where}: cases", 300),
            _sha(c["sha256"], f"{where}: cases"),
        )
        for c in _rows(values["cases"], f"{where}: cases", frozenset({"case_id", "group", "sha256"}))
    )
    _unique([p for p, _ in protocols], f"{where}: protocols")
    _unique([c.case_id for c in cases], f"{where}: cases")
    return Suite(
        name,
        int(version[1]),
        check_text(values["title"], f"{where}: title", 200),
        check_text(values["description"], f"{where}: description", 4000),
        check_text(dataset["name"], f"{where}: dataset", 80, empty=False),
        dataset["options"],
        seed,
        protocols,
        _roles(values["roles"], dict(protocols), where),
        cases,
    )


def _roles(value: object, protocols: Mapping[str, str], where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise RefusedError(f"{where}: roles must be a mapping")
    for role, protocol in value.items():
        if role not in ROLES:
            raise RefusedError(f"{where}: role {role[:60]!r} is none of {', '.join(ROLES)}")
        if protocol not in protocols:
            raise RefusedError(f"{where}: role {role} names a protocol that the suite lacks")
    return value


def _rows(value: object, where: str, keys: frozenset[str]) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        raise RefusedError(f"{where}: must be a list with at least one item")
    return [check_keys(row, where, keys) for row in value]


def _sha(value: object, where: str) -> str:
    if not isinstance(value, str) or _SHA.fullmatch(value) is None:
        raise RefusedError(f"{where}: a SHA-256 is 64 hexadecimal digits")
    return value


def _unique(names: Sequence[str], where: str) -> None:
    if len(set(names)) < len(names):
        raise RefusedError(f"{where}: a name is there twice")
