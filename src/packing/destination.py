"""Where shards go: a folder, which is filled as a whole, or a bucket, where the index comes last."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.buckets import Bucket
from ..runs.output import filled, write_record


@dataclass
class Destination:
    """A folder on this machine to write files to, each of which is then `done`."""

    folder: Path

    def done(self, name: str) -> None:
        """Nothing: `filled` moves all of them at the end."""

    def record(self, content: dict[str, Any]) -> None:
        write_record(self.folder, "pack", content)


@dataclass
class InBucket(Destination):
    """A folder that files go through on their way to a bucket, one at a time."""

    bucket: Bucket
    sent: list[str] = field(default_factory=list)

    def done(self, name: str) -> None:
        self.sent.append(name)
        self.bucket.write(self.folder / name, name)
        (self.folder / name).unlink()

    def record(self, content: dict[str, Any]) -> None:
        write_record(self.folder, "pack", content)
        self.done("pack.json")


@contextmanager
def in_folder(output: Path) -> Iterator[Destination]:
    """Let the block fill a new or empty folder, or one of earlier shards, which are replaced when it ends well."""
    with filled(output, "pack") as folder:
        yield Destination(folder)


@contextmanager
def in_bucket(url: str) -> Iterator[Destination]:
    """Let the block fill a folder of a bucket that holds nothing yet; what came there goes where it doesn't end well.

    Raises:
        InputError: it holds something, or can't be written.
    """
    bucket = Bucket(url)
    bucket.refuse_contents()
    with tempfile.TemporaryDirectory(prefix="reslens-pack-") as path:
        destination = InBucket(Path(path), bucket)
        try:
            yield destination
        except BaseException:
            bucket.remove(destination.sent)
            raise
