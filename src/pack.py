"""`python -m src.pack`: a data set as tar shards in WebDataset's format, with an index, in a folder or a bucket."""

import logging
import shlex
import sys
from typing import TYPE_CHECKING, Any

from .activity import show
from .command.main import checked, main
from .command.next_steps import say_next
from .tables import gibibytes

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


@checked
def pack(cfg: "DictConfig") -> dict[str, Any]:
    """Pack as the composed configuration says; return what pack.json holds.

    Raises:
        InputError: A setting is wrong, or the images can't be packed; nothing has been written.
    """
    from omegaconf import OmegaConf

    from .data import ImageDataModule  # torch, only now
    from .packing.destination import in_bucket, in_folder
    from .packing.shards import check_packable, write_shards
    from .runs.output import output_folder
    from .urls import is_url, refuse_secrets

    settings: Any = OmegaConf.to_container(cfg.data, resolve=True)
    refuse_secrets("output", cfg.output)
    show("looking at the images")
    data = ImageDataModule(**settings, seed=cfg.seed)
    data.prepare_data()
    check_packable(data.found, data.source)
    output = cfg.output.rstrip("/") if is_url(cfg.output) else output_folder(cfg.output, None, "pack")
    with in_bucket(output) if isinstance(output, str) else in_folder(output) as destination:
        packed = write_shards(data.found, destination, cfg.shard_size * 2**20, cfg.seed)
        record = {"command": shlex.join(sys.orig_argv), "data": settings, **packed}
        destination.record(record)
    size = gibibytes(packed["bytes"])
    log.info("shards       %s: %d with %s images, %s", output, packed["shards"], f"{packed['images']:,}", size)
    say_next("pack", folder=str(output))
    return record


if __name__ == "__main__":
    main("pack", pack)
