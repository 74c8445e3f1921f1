"""`python -m src.explain`: what a trained network looks at, in pictures and arrays, and whether to believe them."""

import logging
import shlex
import sys
from typing import TYPE_CHECKING, Any

from .command.main import checked, main
from .runs.folder import RunFolder

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


@checked
def explain(cfg: "DictConfig") -> dict[str, Any]:
    """Explain as the composed configuration says; give back what explain.json holds.

    Raises `InputError` for what can't be meant, before anything is written.
    """
    from .explanation.jobs import check_request, run_job  # torch, only now
    from .runs.output import filled, output_folder, write_record
    from .trained.checkpoint import choose_device, load_trained

    check_request(cfg)
    trained = load_trained(cfg.checkpoint, choose_device(cfg.accelerator))
    output = output_folder(cfg.output, trained.run, "explain", cfg.method)
    with filled(output, "explain") as folder:
        record = {
            "method": cfg.method,
            "checkpoint": str(trained.path),
            "network": trained.name,
            "seed": cfg.seed,
            "command": shlex.join(sys.orig_argv),
            **run_job(cfg, trained, folder),
        }
        write_record(folder, "explain", record)
    log.info("explanation  %s", RunFolder(output).shown)
    return record


if __name__ == "__main__":
    main("explain", explain)
