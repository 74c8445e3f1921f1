"""The tasks that one srun has started, for Lightning."""

import os

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment


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
