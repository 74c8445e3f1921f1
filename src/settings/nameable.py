"""What a configuration may name: callbacks, loggers, sweepers and launchers, each with the settings that it takes.

A name that isn't here can't be instantiated, and a setting that isn't here can't be given: none of these is a path, a
name of a file, a host, or the name of other code. To allow one more is one row.
"""

from collections.abc import Mapping
from typing import NamedTuple

from .ray import TARGET


class Nameable(NamedTuple):
    """One class: the settings that it takes from a configuration, and those that it takes when they are typed."""

    takes: frozenset[str] = frozenset()
    by_hand: frozenset[str] = frozenset()


def _row(takes: str = "", *, by_hand: str = "") -> Nameable:
    return Nameable(frozenset(takes.split()), frozenset(by_hand.split()))


CALLBACKS: Mapping[str, Nameable] = {
    "src.callbacks.gradcam.GradCAMCallback": _row("images target layer untrained objects"),
    "src.callbacks.layers_table.LayersTable": _row("max_depth"),
    "lightning.pytorch.callbacks.DeviceStatsMonitor": _row("cpu_stats"),
    "lightning.pytorch.callbacks.EarlyStopping": _row(
        "monitor mode patience min_delta strict verbose check_finite stopping_threshold divergence_threshold "
        "check_on_train_epoch_end log_rank_zero_only"
    ),
    "lightning.pytorch.callbacks.GradientAccumulationScheduler": _row("scheduling"),
    "lightning.pytorch.callbacks.LearningRateMonitor": _row("logging_interval log_momentum log_weight_decay"),
    "lightning.pytorch.callbacks.ModelSummary": _row("max_depth"),
    "lightning.pytorch.callbacks.RichModelSummary": _row("max_depth"),
    "lightning.pytorch.callbacks.Timer": _row("duration interval verbose"),
}

# What talks to another machine is taken from the command line alone: a file could name a machine of its author's.
LOGGERS: Mapping[str, Nameable] = {
    "src.callbacks.tensorboard.RunLogger": _row(),
    "src.callbacks.steps_table.StepsLogger": _row("flush_logs_every_n_steps"),
    "src.callbacks.wandb_run.RunWandb": _row("project group tags notes", by_hand="mode entity"),
    "src.callbacks.mlflow_run.RunMLflow": _row("experiment_name tags", by_hand="tracking_uri"),
    "lightning.pytorch.loggers.CSVLogger": _row("flush_logs_every_n_steps"),
    "lightning.pytorch.loggers.TensorBoardLogger": _row("log_graph default_hp_metric"),
    "lightning.pytorch.loggers.MLFlowLogger": _row(
        by_hand="_target_ experiment_name run_name tracking_uri tags log_model prefix artifact_location run_id "
        "synchronous"
    ),
    "lightning.pytorch.loggers.WandbLogger": _row(
        by_hand="_target_ name version offline id anonymous project log_model prefix entity group job_type tags notes "
        "mode"
    ),
}

SWEEPERS: Mapping[str, Nameable] = {
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper": _row("max_batch_size params"),
}

_SUBMITIT = _row(
    "account array_parallelism constraint cpus_per_gpu cpus_per_task exclude exclusive gpus_per_node gpus_per_task "
    "gres max_num_timeout mem_gb mem_per_cpu mem_per_gpu name nodes partition qos reservation signal_delay_s "
    "stderr_to_stdout tasks_per_node timeout_min",
    by_hand="additional_parameters comment python setup srun_args submitit_folder",
)

LAUNCHERS: Mapping[str, Nameable] = {
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher": _row(),
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher": _row(
        "backend batch_size n_jobs prefer require timeout verbose"
    ),
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher": _SUBMITIT,
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher": _SUBMITIT,
    TARGET: _row("num_cpus num_gpus max_retries", by_hand="address"),
}

PLUGINS: Mapping[str, Mapping[str, Nameable]] = {
    "hydra.sweeper": SWEEPERS,
    "hydra.launcher": LAUNCHERS,
}

MOST: Mapping[str, int] = {"n_jobs": 256, "num_cpus": 1_024, "num_gpus": 64, "max_retries": 1_000}
"""Largest values of what takes processes or memory by the number."""

GROUPS: Mapping[str, Mapping[str, Nameable]] = {"callbacks": CALLBACKS, "logger": LOGGERS}
"""Groups in which each node is one of these, whatever it is called."""
