"""The tasks that one srun has started, for Lightning; and a job that asks to be run again."""

import logging
import os
import subprocess

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

log = logging.getLogger(__name__)


class SlurmStep(SLURMEnvironment):
    """Lightning's environment for Slurm, of a step: the variables of its job may speak of more tasks and machines.

    It asks for no `--ntasks-per-node`, and leaves stopping and requeueing to `src.resuming`, which writes a checkpoint
    of the middle of an epoch.
    """

    def __init__(self) -> None:
        super().__init__(auto_requeue=False)

    def world_size(self) -> int:
        return int(os.environ["SLURM_STEP_NUM_TASKS"])

    @property
    def main_address(self) -> str:
        nodes = os.environ.get("SLURM_STEP_NODELIST", "127.0.0.1")
        return os.environ.setdefault("MASTER_ADDR", self.resolve_root_node_address(nodes))

    @property
    def main_port(self) -> int:
        """Another one for each step: several may run side by side in one job, and on one machine."""
        job, step = (int(os.environ.get(name, 0)) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
        return int(os.environ.setdefault("MASTER_PORT", str(15_000 + (job + 1_009 * step) % 15_000)))

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Nothing: `src.training.processes` has made them from the step itself."""

    @staticmethod
    def _validate_srun_used() -> None:
        """Nothing: it has been."""

    @staticmethod
    def _validate_srun_variables() -> None:
        """Nothing: see `validate_settings`."""


def job_id() -> str | None:
    """Return the job that this process belongs to, as scontrol names it; None outside Slurm."""
    array, task = (os.environ.get(name) for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def is_preempted(job: str) -> bool:
    """Return whether Slurm has told the job to make room: SIGTERM alone may as well come from who cancels it."""
    try:
        shown = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    fields = dict(word.partition("=")[::2] for word in shown.stdout.split())
    return fields.get("PreemptTime", "None") != "None" and fields.get("JobState") == "RUNNING"


def requeue(job: str) -> bool:
    """Ask Slurm to run the job again, as soon as it has ended; return whether it will, and warn where it won't."""
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    else:
        if done.returncode == 0:
            return True
        said = done.stderr.strip() or f"exit code {done.returncode}"
    log.warning("job %s can't be requeued: %s", job, said)
    return False
