"""TensorBoard's files of a resumed run, without what was written after the checkpoint that it resumes from.

That would appear twice, as a second line behind the first. TensorBoard's own `purge_step` leaves it to each reader to
skip it, and assumes that all tags count in the same steps.
"""

import os
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from ..errors import InputError, first_line
from ..files import replacing

WRITTEN_AGAIN = ("whole_run/", "_hparams_/", "custom_scalars__config__", "baseline/", "test/", "best_")
"""How the tags begin that a resumed run writes again; the last three are those of earlier versions."""

LARGEST = 2**26
"""Bytes of a record; a picture has a few million."""

BY_EPOCH = ("val/gradcam", "gradcam/")
"""How the tags begin whose steps are epochs, the second of earlier versions; those of others are optimizer steps."""


def cut_events(run: Path, steps: int, epochs: int) -> None:
    """Keep only the first `steps` steps and the first `epochs` epochs in the event files of `run`."""
    for file in run.glob("events.out.tfevents.*"):
        try:
            _check_lengths(file)
            # For every reader the file ends at a record that a kill has cut.
            records = list(RawEventFileLoader(str(file)).Load())
            kept = [record for record in records if _stays(Event.FromString(record), steps, epochs)]
        except (ValueError, DecodeError, OSError) as error:
            raise InputError(f"resume: {file} is damaged ({first_line(error)}): move it away") from None
        if len(kept) == len(records):
            continue
        with replacing(file) as temporary, temporary.open("wb") as stream:
            writer = RecordWriter(stream)
            for record in kept:
                writer.write(record)


def _check_lengths(file: Path) -> None:
    """Raise `ValueError` where a record is far longer than ours: its reader would make room for it; nor is one empty.

    Each has its length before it, 8 bytes and a checksum of 4, and a checksum behind it (TFRecord).
    """
    with file.open("rb") as stream:
        while len(head := stream.read(12)) == 12:
            length = int.from_bytes(head[:8], "little")
            if not 0 < length <= LARGEST:  # a hole in a file reads as millions of empty ones
                raise ValueError(f"a record of {length:,} bytes")
            stream.seek(length + 4, os.SEEK_CUR)


def _stays(event: Any, steps: int, epochs: int) -> bool:
    tags = [value.tag for value in event.summary.value]
    if not tags:
        return True  # the file's version, at its beginning
    if tags[0].startswith(WRITTEN_AGAIN):
        return False
    return bool(event.step <= epochs if tags[0].startswith(BY_EPOCH) else event.step < steps)
