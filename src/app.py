"""`python -m src.app`: a page in the browser on which a trained network classifies pictures and shows why."""

from pathlib import Path
from typing import TYPE_CHECKING

from .command.main import checked, main
from .runs.named import LAST, find_named

if TYPE_CHECKING:
    from omegaconf import DictConfig


@checked
def app(cfg: "DictConfig") -> None:
    """Serve the page as the composed configuration says, until it is interrupted.

    Raises `InputError` for impossible settings before the page is there.
    """
    from .page.server import bound, check_streamlit, serve

    check_streamlit()
    with bound(cfg.port) as socket:
        from .page.exhibits import open_exhibition
        from .trained.checkpoint import choose_device  # torch, only now

        named = find_named(LAST, "checkpoint") if cfg.checkpoint == LAST else cfg.checkpoint or ""  # unless typed
        runs = None if cfg.runs is None else Path(cfg.runs)
        doubt = cfg.coverage, cfg.ood
        device = choose_device(cfg.accelerator)
        shown = open_exhibition(str(named), device, cfg.data.root, runs, doubt, ensemble=cfg.ensemble)
        serve(shown, socket, cfg.browser)


if __name__ == "__main__":
    main("app", app)
