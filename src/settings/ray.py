"""The settings of `hydra/launcher=ray`, the runs of a sweep on Ray (`src.command.on_ray`)."""

from dataclasses import dataclass

from hydra.core.config_store import ConfigStore

TARGET = "hydra_plugins.reslens.RayLauncher"
"""Hydra takes launchers from `hydra_plugins` alone; ours is registered under this name, and in no package of it."""


@dataclass
class RayLauncherConf:
    """What a run gets, and where.

    Attributes:
        num_cpus: processors that Ray counts a run as; it trains with as many threads.
        num_gpus: GPUs of a run, or a share of one; null: one where the cluster has any.
        max_retries: how often a run goes on whose process or machine has died.
        address: of a cluster: `auto` of one on this machine, or HOST:PORT; null: `RAY_ADDRESS` of the environment, else
            processes of this machine that end with the command.
    """

    _target_: str = TARGET
    num_cpus: float = 1
    num_gpus: float | None = None
    max_retries: int = 3
    address: str | None = None


def offer_ray() -> None:
    """Make `hydra/launcher=ray` an option, also where hydra-ray-launcher has one of that name."""
    ConfigStore.instance().store(group="hydra/launcher", name="ray", node=RayLauncherConf, provider="reslens")
