"""What to make, as plain values: they travel to worker processes and into ``run.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simclick import registry
from simclick.agent import Agent
from simclick.agent_info import is_shipped, refuse_shipped_name
from simclick.datasets.base import Dataset
from simclick.errors import AgentError, ConfigError, SimclickError

__all__ = ["AgentSpec", "DatasetSpec"]


@dataclass(frozen=True)
class AgentSpec:
    """An agent by registered name and options.

    The name ``custom`` takes ``target="module:Class"`` and passes ``params`` to it.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self) -> Agent:
        """Return a new agent.

        Raises:
            ConfigError: On an unknown name, option or value, or where something is missing.
            AgentError: When a user's class cannot be built or is no agent.
        """
        if self.name == "custom":
            return self._custom()
        agent = _make("agent", self.name, registry.agents.load(self.name), self.options)
        return _checked(agent, self.name, foreign=not is_shipped(self.name))

    def public_options(self) -> dict[str, Any]:
        """Return the options as a run's record keeps them: see `Agent.public_options`."""
        if self.name not in registry.agents.entries:
            return dict(self.options)  # an agent that was made by hand
        public = getattr(registry.agents.load(self.name), "public_options", dict)
        return dict(public(self.options))

    def _custom(self) -> Agent:
        target = self.options.get("target")
        if not target:
            raise ConfigError("agent 'custom' needs its class: agent.target=my_module:MyAgent")
        factory = registry.load_object(str(target))
        params = dict(self.options.get("params") or {})
        try:
            agent = factory(**params)
        except SimclickError:
            raise
        except (Exception, SystemExit) as error:
            raise AgentError(f"agent {target}: building it raised {type(error).__name__}: {error}") from error
        return _checked(agent, str(target), foreign=not str(target).startswith("simclick.baselines."))


@dataclass(frozen=True)
class DatasetSpec:
    """A data set by registered name and options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self) -> Dataset:
        """Return a new data set.

        Raises:
            ConfigError: On an unknown name, option or value, or a missing root.
        """
        dataset = _make("dataset", self.name, registry.datasets.load(self.name), self.options)
        if not isinstance(dataset, Dataset):
            raise ConfigError(f"dataset {self.name!r}: {type(dataset).__name__} is no simclick Dataset")
        return dataset


def _make(kind: str, name: str, factory: Any, options: Mapping[str, Any]) -> Any:
    try:
        return factory(**options)
    except TypeError as error:
        raise ConfigError(f"{kind} {name!r}: {error}") from error


def _checked(agent: Any, name: str, *, foreign: bool) -> Agent:
    if not isinstance(agent, Agent):
        raise AgentError(f"agent {name}: {type(agent).__name__} is not a subclass of simclick.agent.Agent")
    if getattr(agent, "info", None) is None:
        raise AgentError(f"agent {name}: it must set self.info to an AgentInfo")
    if not isinstance(agent.batch, int) or agent.batch < 1:
        raise AgentError(f"agent {name}: batch must be a whole number ≥ 1, not {agent.batch!r}")
    if foreign:
        try:
            refuse_shipped_name(str(agent.info.name))
        except ValueError as error:
            agent.close()
            raise AgentError(f"agent {name}: {error}") from None
    return agent
