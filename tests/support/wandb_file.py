"""What an offline run of Weights & Biases holds, read with its own messages."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK, IDENT, HEAD = 32768, 7, 7
"""Bytes of LevelDB's log format, in which the file is written: https://github.com/google/leveldb/blob/main/doc/log_format.md."""


@dataclass
class OfflineRun:
    """The records of one file, values as they were logged."""

    id: str = ""
    name: str = ""
    project: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None


def records(file: Path) -> Iterator[bytes]:
    content, place, parts = file.read_bytes(), IDENT, b""
    assert content[:4] == b":W&B"
    while place + HEAD <= len(content):
        left = BLOCK - place % BLOCK
        if left < HEAD:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        if not kind:
            break
        parts += content[place + HEAD : place + HEAD + length]
        place += HEAD + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def read(file: Path) -> OfflineRun:
    from wandb.proto import wandb_internal_pb2 as messages

    run = OfflineRun()
    for content in records(file):
        record = messages.Record()
        record.ParseFromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.id, run.name, run.project = record.run.run_id, record.run.display_name, record.run.project
        elif kind == "history":
            run.history.append(values(record.history.item))
        elif kind in ("config", "summary"):
            getattr(run, kind).update(values(getattr(record, kind).update))
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run


def values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
