"""`python -m src.explain`: what a trained network looks at, in pictures and arrays, and whether the maps are true."""

import logging
import shlex
import sys
from typing import TYPE_CHECKING, Any

from .activity import show
from .command.main import checked, main
from .command.next_steps import next_of, say_next
from .errors import first_line
from .explanation.request import check_request
from .runs.contents import UnusableError
from .runs.folder import RunFolder

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


@checked
def explain(cfg: "DictConfig") -> dict[str, Any]:
    """Explain as the composed configuration says; return what explain.json holds.

    Raises `InputError` for impossible settings before anything is written.
    """
    check_request(cfg)
    from .explanation.jobs import run_job  # torch, only now
    from .runs.output import filled, output_folder, write_record
    from .trained.checkpoint import choose_device, load_trained
    from .trained.standing import say_standing

    show("explaining")
    trained = load_trained(cfg.checkpoint, choose_device(cfg.accelerator), multilabel=True)
    say_standing(trained)
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
    if (
        trained.run is not None
        and (cfg.shortcuts or cfg.faithfulness)
        and output.parent == trained.run.path / "explain"
    ):
        _renew_page(trained.run)
    say_next("explain", leave_out=["faithfulness"] if cfg.faithfulness else [], **next_of(trained))
    return record


def _renew_page(run: RunFolder) -> None:
    """Write the run's page again, with what was measured; where that can't be, the measurement is whole without it."""
    from .reporting.run_page import write_run_page  # Jinja2, only now

    try:
        write_run_page(run)
    except UnusableError as error:
        log.warning("no report.html: %s", first_line(error))


if __name__ == "__main__":
    main("explain", explain)
