"""`python -m src.report`: what a folder of runs says, as tables, pictures and one HTML file."""

from pathlib import Path
from typing import TYPE_CHECKING

from . import activity
from .command.main import checked, main

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from .reporting.report import Report


@checked
def report(cfg: "DictConfig") -> "Report":
    """Write the report of `cfg.runs` to `cfg.output` and show it. Raises `InputError` where no run can be compared."""
    from .reporting.report import show, write_report  # pandas and matplotlib, only now

    activity.show("comparing runs and drawing")
    written = write_report(Path(cfg.runs).expanduser(), Path(cfg.output).expanduser(), archive=cfg.archive)
    activity.clear()
    show(written)
    return written


if __name__ == "__main__":
    main("report", report)
