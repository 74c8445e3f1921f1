"""TensorBoard's files of a run that goes on: without what was written behind the checkpoint that it goes on from.

That would be there twice, as a second line behind the first. TensorBoard's own way (`purge_step`) leaves it to each
reader to pass it over, and takes all tags to count in the same steps.
"""

from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from ..files import replacing

WRITTEN_AGAIN = ("baseline/", "test/", "best_", "_hparams_/", "custom_scalars__config__")
"""Begin the tags of what a resumed run measures or says once more."""

BY_EPOCH = "gradcam/"
"""Begins the tags whose steps are epochs; all others count optimizer steps, from 0."""


def cut_events(run: Path, steps: int, epochs: int) -> None:
    """Leave in the event files of `run` what belongs to its first `steps` steps and its first `epochs` epochs."""
    for file in run.glob("events.out.tfevents.*"):
        # A record that a kill has cut in half, or damaged, ends the file for all its readers.
        records = list(RawEventFileLoader(str(file)).Load())
        kept = [record for record in records if _stays(Event.FromString(record), steps, epochs)]
        if len(kept) == len(records):
            continue
        with replacing(file) as temporary, temporary.open("wb") as stream:
            writer = RecordWriter(stream)
            for record in kept:
                writer.write(record)


def _stays(event: Any, steps: int, epochs: int) -> bool:
    tags = [value.tag for value in event.summary.value]
    if not tags:
        return True  # the file's version, at its beginning
    if tags[0].startswith(WRITTEN_AGAIN):
        return False
    return bool(event.step <= epochs if tags[0].startswith(BY_EPOCH) else event.step < steps)
