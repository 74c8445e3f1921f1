"""A job that is told to stop before its training has begun: while it imports, composes, or looks for its images."""

from collections.abc import Sequence

from ..logs import say_interrupted
from ..ranks.job import is_asked, job_id, queue_again


def queue_again_early(words: Sequence[str], number: int | None) -> bool:
    """Let Slurm run a job again that a signal of this `number` ends, where `requeue=true` was typed; return whether.

    The settings may not be known yet. A training that has begun does it by itself, with its record.
    """
    wanted = [value for name, _, value in (word.strip().partition("=") for word in words) if name == "requeue"]
    if not wanted or wanted[-1].strip("'\"").lower() != "true" or job_id() is None:
        return False
    if not is_asked() and queue_again(number):
        say_interrupted(f": job {job_id()} is queued again, and begins then")
    return is_asked()
