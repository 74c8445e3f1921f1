"""A job of Slurm's that is told to stop, and asks to be run again."""

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

_asked: set[str] = set()
"""Jobs that are queued again already: a second request would have Slurm run them once more."""


def queue_again(number: int | None) -> bool:
    """Ask Slurm to run this job again, which a signal of this `number` ends; return whether it will.

    On SIGUSR1, for which the job's owner has asked, and on the SIGTERM of a preemption: a job that ends well within its
    partition's GraceTime has ended for Slurm. Who cancels the job sends SIGTERM, too.
    """
    job = job_id()
    if job is None:
        log.warning("requeue=true does nothing here: this is no job of Slurm's")
        return False
    with _undisturbed():
        if job not in _asked and (number == signal.SIGUSR1 or is_preempted(job)) and requeue(job):
            _asked.add(job)
    return job in _asked


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore further signals, and for good once the job is queued again: Slurm then tells what still runs to end."""
    names = ("SIGTERM", "SIGUSR1", "SIGHUP") if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (getattr(signal, name) for name in names)}
    try:
        yield
    finally:
        if not is_asked():
            for number, handler in before.items():
                signal.signal(number, handler)


def is_asked() -> bool:
    """Return whether this job is queued again already."""
    return job_id() in _asked


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
