"""What a run leaves in its folder besides figures: its record and settings, kept true however it ends."""

import logging
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from ..data.splits import SPLITS
from ..logs import say_interrupted
from ..ranks.crew import Ended
from ..ranks.job import job_id, queue_again
from ..ranks.joining import crew
from ..resuming.event_files import cut_events
from ..resuming.starting_point import progress
from .assemble import Parts
from .hardware import describe_hardware

log = logging.getLogger(__name__)


@contextmanager
def on_record(parts: Parts, command: str, *, resumed: bool, again: str | None = None) -> Iterator[None]:
    """Keep run.json while the block trains, and say how to go on where the block is interrupted.

    Nothing is written before this. Of a distributed run, the first process writes for all. `again` is the command that
    goes on, where it isn't `src.train`; an empty one leaves it to the caller to say that.
    """
    folder = parts.folder
    if not parts.trainer.is_global_zero:
        with as_told():
            yield
        return
    if resumed:
        folder.clear(all_of_it=parts.checkpoint is None)
    limited = parts.cfg.trainer.fast_dev_run or parts.cfg.trainer.limit_test_batches is not None
    changes = folder.start(
        command=command,
        seed=parts.cfg.seed,
        hardware=describe_hardware(),
        resumed=resumed,
        processes=parts.trainer.world_size,
        batch_size=parts.found_batch_size,
        learning_rate=parts.found_rate,
        images={split: parts.data.size(split) for split in SPLITS},
        train_images_measured=None if limited else parts.data.train_images_measured,
    )
    try:
        with folder.recorded():
            for change in changes:
                log.warning("since this run began %s: it may not go on exactly as it would have", change)
            folder.keep_settings(OmegaConf.to_yaml(parts.cfg))
            if parts.checkpoint is not None:
                cut_events(folder.path, *progress(parts.checkpoint))
            with crew().answering(partial(_give_up, parts, again)), as_told():
                yield
    except (KeyboardInterrupt, SystemExit) as error:
        _say_how_to_go_on(parts, again, error)
        raise


@contextmanager
def as_told() -> Iterator[None]:
    """Let Ctrl-C leave the block as `KeyboardInterrupt`, and SIGTERM as `SystemExit(143)`.

    Lightning answers both with a `SystemExit` of its own, the first with a KeyboardInterrupt behind it.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise SystemExit(143) from error


def _give_up(parts: Parts, again: str | None, ended: Ended) -> bool:
    """Do what is left to do, in a thread, where this process hangs because of what has ended another.

    As when all are tested after SIGTERM: one leaves, and the first waits for its share and answers no signal.
    """
    parts.folder.end("interrupted" if ended.told else "failed", None if ended.told else ended.message)
    if ended.told:
        parts.stop.signal = parts.stop.signal or ended.signal
        _say_how_to_go_on(parts, again, ended.error())
    return ended.told


def _say_how_to_go_on(parts: Parts, again: str | None, error: BaseException) -> None:
    """Print how to resume, one line on stderr; for a sweep, the command line prints it."""
    if parts.cfg.get("requeue") and queue_again(parts.stop.signal):
        say_interrupted(f": job {job_id()} is queued again, and goes on then")
        return
    folder = parts.folder
    if again == "" or (HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN):
        return
    does = "goes on" if folder.last_checkpoint.exists() else "begins it again: there is no checkpoint yet"
    say_interrupted(f": {again or f'python -m src.train resume={shlex.quote(folder.shown)}'} {does}")
    if isinstance(error, KeyboardInterrupt):
        error.args = ("said",)
