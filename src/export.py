"""`python -m src.export`: a trained network as one file for other programs, proven to give the same logits."""

import logging
import shlex
import sys
from typing import TYPE_CHECKING, Any

from .activity import show
from .command.main import checked, main
from .command.next_steps import say_next
from .runs.folder import RunFolder

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


@checked
def export(cfg: "DictConfig") -> dict[str, Any]:
    """Export as the composed configuration says; return what export.json holds.

    Raises:
        InputError: A setting is wrong; nothing has been written.
        RunError: The file does not give the network's logits; it is not kept.
    """
    from .exporting.formats import check_request

    check_request(cfg)
    from .exporting.exports import choose_images, export_network
    from .runs.output import filled, output_folder, write_record
    from .trained.checkpoint import load_trained  # torch, only now
    from .trained.decision import decision_of
    from .trained.standing import say_standing

    show("exporting")
    trained = load_trained(cfg.checkpoint, multilabel=True)
    say_standing(trained)
    decision = decision_of(cfg, trained)
    pictures = choose_images(trained, cfg.images, cfg.data.root)
    output = output_folder(cfg.output, trained.run, "export", cfg.format, replaced=True)
    with filled(output, "export") as folder:
        record = {
            "format": cfg.format,
            "checkpoint": str(trained.path),
            "images": str(cfg.images or "test"),
            "seed": cfg.seed,
            "command": shlex.join(sys.orig_argv),
            **export_network(trained, cfg.format, pictures, pictures.some(cfg.max_images, cfg.seed), folder, decision),
        }
        write_record(folder, "export", record)
    log.info("export       %s", RunFolder(output).shown)
    say_next("export", folder=RunFolder(output).shown)
    return record


if __name__ == "__main__":
    main("export", export)
