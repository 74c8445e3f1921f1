"""A whole Slurm of its own on this machine, from Debian's packages: munge, the controller, and two nodes that share it.

It needs no systemd, listens on free ports of 127.0.0.1, and leaves no process behind.
"""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import pytest

from tests.support.started import free_port

NEEDS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "scontrol", "scancel", "squeue", "sinfo")
PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])

CONFIG = """\
ClusterName=tests
FirstJobId={first}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
PlugStackConfig={folder}/plugstack.conf
MailProg=/bin/true
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
# Jobs begin at once; the timers of a cluster would have each test wait for minutes.
SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_interval=1,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=30
MinJobAge=600
ReturnToService=2
SlurmdTimeout=300
SlurmdParameters=config_overrides
NodeName=node1 NodeHostname=node1 NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8
NodeName=node2 NodeHostname=node2 NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=60 MaxTime=60
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF MaxTime=60
"""


def why_not() -> str | None:
    """Why there can't be one here; None where there can."""
    lacking = [name for name in NEEDS if shutil.which(name, path=PLACES) is None]
    if lacking:
        return f"{', '.join(lacking)} not installed (Debian: apt-get install slurm-wlm munge)"
    return None if os.geteuid() == 0 else "slurmd starts jobs as root alone"


def need_slurm() -> None:
    """Skip the test, with the reason, where there is no Slurm to start."""
    if reason := why_not():
        pytest.skip(reason)


class Slurm:
    """It runs while the block does, in `folder`, with the partitions `low` and `high`, which preempts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._servers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Slurm":
        for name in ("", "state", "spool-node1", "spool-node2"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        host = os.uname().nodename
        ports, first = [free_port() for _ in range(3)], 1 + secrets.randbelow(60_000)  # jobs meet at ports by number
        config = CONFIG.format(host=host, folder=self.folder, ports=ports, first=first)
        (self.folder / "slurm.conf").write_text(config)
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (self.folder / "plugstack.conf").write_text("")
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        files = [f"--{name}={self.folder}/munge.{name.split('-')[0]}" for name in ("socket", "pid-file", "seed-file")]
        self._serve(
            "munged", "--foreground", "--force", *files, f"--key-file={key}", f"--log-file={self.folder}/munged.log"
        )
        self._until(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._serve("slurmctld", "-D", "-c", "-f", str(self.folder / "slurm.conf"))
        for node in ("node1", "node2"):
            self._serve("slurmd", "-D", "-N", node, "-f", str(self.folder / "slurm.conf"))
        self._until(lambda: self.run("sinfo", "-h", "-p", "low", "-o", "%t %D").split() == ["idle", "2"], "two nodes")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(OSError, subprocess.SubprocessError):
            self.run("scancel", "--full", "--user=root")
            self._until(lambda: not self.run("squeue", "-h"), "the end of all jobs", 60)
        for server in reversed(self._servers):
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    @property
    def environment(self) -> dict[str, str]:
        """What its commands need. The two nodes have names that nobody resolves: processes meet at 127.0.0.1."""
        usual = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
        return usual | {
            "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": PLACES, "MASTER_ADDR": "127.0.0.1",
            "OMP_NUM_THREADS": "1",
        }  # fmt: skip

    def run(self, *words: str, cwd: Path | None = None) -> str:
        """What one of its commands says; `CalledProcessError` where it fails."""
        done = subprocess.run(words, env=self.environment, cwd=cwd, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def submit(self, script: Path, *options: str) -> str:
        """Hand a batch script in, to run where it lies; the job's number. It says all into `SCRIPT.out`."""
        output = f"--output={script}.out"
        return self.run("sbatch", "--parsable", "--open-mode=append", output, *options, script.name, cwd=script.parent)

    def state(self, job: str) -> str:
        """`PENDING`, `RUNNING`, `COMPLETED` and the like."""
        shown = self.run("scontrol", "show", "job", job)
        return next(word.partition("=")[2] for word in shown.split() if word.startswith("JobState="))

    def begin_now(self, job: str) -> None:
        """Spare a job that was requeued the two minutes that it would wait: wait for it to be queued, and start it."""
        self._until(
            lambda: self.state(job) in ("PENDING", "RUNNING", "COMPLETED"), f"job {job} to be queued again", 120
        )
        time.sleep(2)  # the node may still report the end of what ran before, which would be taken for that of the next
        with suppress(subprocess.CalledProcessError):  # it has begun
            self.run("scontrol", "update", f"JobId={job}", "StartTime=now")

    def wait(self, job: str, *states: str, seconds: float = 180) -> str:
        """Wait until the job is in one of the states; which."""
        self._until(lambda: self.state(job) in states, f"job {job} to be {' or '.join(states)}", seconds)
        return self.state(job)

    def _serve(self, name: str, *words: str) -> None:
        with (self.folder / f"{name}.said").open("ab") as file:
            path = shutil.which(name, path=PLACES) or name
            self._servers.append(subprocess.Popen([path, *words], stdout=file, stderr=file, env=self.environment))

    def _until(self, condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while True:
            with suppress(subprocess.CalledProcessError):  # the controller may not answer yet
                if condition():
                    return
            if time.monotonic() > end:
                logs = "\n".join(path.read_text(errors="replace")[-500:] for path in self.folder.glob("*.log"))
                raise TimeoutError(f"waited {seconds:.0f} s for {what}\n{logs}")
            time.sleep(0.1)
