"""From command-line words to a run: the only place, with ``conf/``, where Hydra lives.

Words are checked before Hydra sees them, so that a wrong name or key is answered in one line with
the choices and the nearest one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from simclick import registry
from simclick.errors import ConfigError, unknown_name
from simclick.harness.engine import Engine
from simclick.harness.run import RunSpec
from simclick.harness.specs import AgentSpec, DatasetSpec
from simclick.plugins import given, plugin_names, store_plugins
from simclick.protocol import Protocol, load_protocol

__all__ = ["GROUPS", "compose_run", "compose_sweep", "compose_train"]

GROUPS = ("agent", "dataset", "protocol", "engine")
_OPEN = (
    *("agent.params.", "agent.options.", "agent.environment."),
    *("protocol.annotator_options.", "protocol.noise_options."),
)
"""Keys below these are the user's own, so nothing can be said of their names."""
_LITERAL = (
    *("out", "agent.checkpoint", "agent.command", "agent.folder", "agent.shared_folder", "dataset.root"),
    *("dataset.images", "dataset.masks", "dataset.labels", "dataset.group", "engine.cache"),
)
"""Values of these, paths and patterns, are taken literally, whatever characters they hold."""


def compose_run(words: Sequence[str]) -> RunSpec:
    """Return the run that ``key=value`` words describe.

    Raises:
        ConfigError: On a wrong word; one line.
    """
    words = [_literal(word) for word in words]
    overrides = _parse(words)
    for override in overrides:
        if override.is_sweep_override():
            raise ConfigError(f"{override.input_line}: several values are a sweep; add -m")
    try:
        with initialize_config_module(config_module="simclick.conf", version_base="1.3"):
            chosen = [w for w, o in zip(words, overrides, strict=True) if o.key_or_group in GROUPS]
            _check_groups(overrides)
            store_plugins(overrides)
            _check_keys(overrides, compose("config", chosen))
            opened = [_opened(w, o) for w, o in zip(words, overrides, strict=True)]
            config = compose("config", opened, return_hydra_config=True)
            choices = dict(config.hydra.runtime.choices)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_one_line(error)) from None
    return _run_spec(config, choices, words)


def compose_sweep(words: Sequence[str]) -> list[RunSpec]:
    """Return the runs of every combination of comma-separated values, in order; all are checked.

    ``out`` is the folder of the runs; a run's own folder is named after agent, data set and protocol, and
    after any other key that the sweep varies.

    Raises:
        ConfigError: On a wrong word in any combination; one line.
    """
    overrides = _parse(words)
    axes = [
        [f"{o.get_key_element()}={value}" for value in o.sweep_string_iterator()]
        if o.is_sweep_override()
        else [word]
        for word, o in zip(words, overrides, strict=True)
    ]
    varied = {
        str(o.key_or_group) for o in overrides if o.is_sweep_override() and o.key_or_group not in GROUPS
    }
    specs = []
    for combination in product(*axes):
        spec = compose_run([word for word in combination if not word.startswith("out=")])
        suffix = "".join(f",{word}" for word in combination if word.partition("=")[0] in varied)
        base = next((word.partition("=")[2] for word in combination if word.startswith("out=")), "runs")
        specs.append(replace(spec, out=Path(base.strip("'\"")).expanduser() / (spec.out.name + suffix)))
    return specs


def compose_train(name: str, words: Sequence[str]) -> dict[str, Any]:
    """Return the settings of a training as plain values: those of ``conf/train/NAME.yaml``, changed.

    Raises:
        ConfigError: On a wrong name or word; one line.
    """
    choices = _group_choices("train")
    if name not in choices:
        raise unknown_name("training", name, choices)
    words = [_literal(word) for word in words]
    overrides = _parse(words)
    try:
        with initialize_config_module(config_module="simclick.conf.train", version_base="1.3"):
            known = _keys(OmegaConf.to_container(compose(name)))
            for override in overrides:
                key = str(override.key_or_group)
                if override.is_sweep_override():
                    raise ConfigError(f"{override.input_line}: one value at a time")
                if key not in known or key == "name":
                    raise unknown_name("key", key, [k for k in known if k != "name"])
            config = OmegaConf.to_container(compose(name, words))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_one_line(error)) from None
    plain: dict[str, Any] = {str(k): v for k, v in config.items()} if isinstance(config, dict) else {}
    return plain


def _literal(word: str) -> str:
    """Quote the value of a path, unless the user did: paths may hold any character."""
    key, equals, value = word.partition("=")
    if key not in _LITERAL or not equals or value[:1] in {"'", '"'} or value in {"", "null"}:
        return word
    # Inside quotes Hydra reads a backslash literally, unless backslashes run up to a quote.
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"{key}='{escaped}'"


def _parse(words: Sequence[str]) -> list[Override]:
    for word in words:
        if "=" not in word:
            raise ConfigError(f"{word!r} is not of the form key=value, for example agent=grabcut")
    try:
        return list(OverridesParser.create().parse_overrides(list(words)))
    except HydraException as error:
        raise ConfigError(f"{_one_line(error)} (a value with special characters needs quotes)") from None


def _group_choices(group: str) -> list[str]:
    folder = files("simclick.conf") / group
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def _check_groups(overrides: Sequence[Override]) -> None:
    for override in overrides:
        if override.key_or_group in GROUPS:
            choices = [*_group_choices(str(override.key_or_group)), *plugin_names(override.key_or_group)]
            values = override.sweep_string_iterator() if override.is_sweep_override() else [override.value()]
            for value in values:
                if value not in choices:
                    _check_recipe(str(value))
                    raise unknown_name(str(override.key_or_group), str(value), choices)


def _check_recipe(name: str) -> None:
    """Say of a method that runs in an environment of its own how it is run."""
    from simclick.baselines import RECIPES
    from simclick.listing import WHY

    if name in RECIPES:
        raise ConfigError(f"agent {name!r} cannot be run by name: {WHY}")


def _check_keys(overrides: Sequence[Override], config: DictConfig) -> None:
    """Refuse keys that the chosen agent, data set, protocol and engine do not have."""
    known = _keys(OmegaConf.to_container(config, resolve=False))
    for override in overrides:
        key = str(override.key_or_group)
        if key in GROUPS or key.startswith(_OPEN) or key in known:
            continue
        if re.match(r"hydra\b", key):
            raise ConfigError(
                f"{key}: Hydra's own settings have no effect here; out=DIR is the run directory, -m a sweep"
            )
        head = key.split(".")[0]
        near = [name for name in known if name.split(".")[0] == head] if head in GROUPS else known
        raise unknown_name("key", key, near or known)


def _keys(content: Any, prefix: str = "") -> list[str]:
    """Return every dotted key of a nested mapping, branches included."""
    if not isinstance(content, Mapping):
        return []
    names = []
    for key, value in content.items():
        names += [f"{prefix}{key}", *_keys(value, f"{prefix}{key}.")]
    return names


def _opened(word: str, override: Override) -> str:
    """Let keys below open mappings be added without Hydra's ``+``."""
    key = str(override.key_or_group)
    return f"++{word.lstrip('+')}" if key.startswith(_OPEN) else word


def _run_spec(config: DictConfig, choices: Mapping[str, str], words: Sequence[str]) -> RunSpec:
    content = {k: v for k, v in config.items() if k != "hydra"}
    plain: dict[str, Any] = OmegaConf.to_container(OmegaConf.create(content), resolve=True)  # type: ignore[assignment]
    agent, dataset, engine = dict(plain["agent"]), dict(plain["dataset"]), dict(plain["engine"])
    protocol = _protocol(choices["protocol"], plain["protocol"])
    agent_spec = AgentSpec(str(agent.pop("name")), given(agent))
    limit = dataset.pop("limit", None)
    dataset_spec = DatasetSpec(str(dataset.pop("name")), given(dataset))
    engine.pop("name")
    for name in registry.agents, registry.datasets:
        name.entry((agent_spec if name is registry.agents else dataset_spec).name)
    leaf = f"{_agent_label(agent_spec)}-{dataset_spec.name}-{protocol.id}"
    out = plain["out"]
    folder = Path("runs") / leaf if out is None else Path(str(out))
    return RunSpec(
        agent=agent_spec,
        dataset=dataset_spec,
        protocol=protocol,
        out=folder.expanduser(),
        seed=_whole("seed", plain["seed"]),
        save_masks=_flag("save_masks", plain["save_masks"]),
        limit=None if limit is None else _whole("dataset.limit", limit, 1),
        engine=Engine(**engine),
        retry_failed=_flag("retry_failed", plain["retry_failed"]),
        config=_kept(words, plain),
    )


def _kept(words: Sequence[str], plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration as ``run.json`` keeps it: values of environment variables may be keys."""
    secret = "agent.environment."
    passed = [
        f"{word.partition('=')[0]}=not kept" if word.lstrip("+").startswith(secret) else word
        for word in words
    ]
    agent = dict(plain["agent"])
    if agent.get("environment"):
        agent["environment"] = dict.fromkeys(agent["environment"], "not kept")
    return {"passed": passed, "resolved": {**plain, "agent": agent}}


def _agent_label(spec: AgentSpec) -> str:
    if spec.name != "custom":
        return spec.name
    return str(spec.options.get("target") or "custom").rpartition(":")[2]


def _protocol(choice: str, values: Mapping[str, Any]) -> Protocol:
    """Return the shipped protocol, or a changed one whose id says so."""
    shipped = load_protocol(choice)
    values = dict(values)
    if values.pop("id") != shipped.id:
        raise ConfigError(f"protocol.id is fixed: {choice} keeps its id, and gets a + when it is changed")
    for key in ("levels", "surface_at"):
        if not isinstance(values[key], list):
            raise ConfigError(f"protocol.{key}={values[key]}: must be a list, for example [0,1]")
        if not all(isinstance(v, (int, float)) and math.isfinite(v) for v in values[key]):
            raise ConfigError(f"protocol.{key}={values[key]}: must be a list of finite numbers")
    return shipped.with_overrides(values)


def _whole(key: str, value: Any, least: int | None = None) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or (least is not None and value < least):
        raise ConfigError(f"{key}={value}: must be a whole number{'' if least is None else f' ≥ {least}'}")
    return value


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{key}={value}: must be true or false")
    return value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
