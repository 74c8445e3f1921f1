"""`python -m src.app`: a page in the browser on which a trained network classifies pictures and shows why."""

from typing import TYPE_CHECKING

from .command.main import checked, main

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

        serve(open_exhibition(cfg.checkpoint, choose_device(cfg.accelerator), cfg.data.root), socket, cfg.browser)


if __name__ == "__main__":
    main("app", app)
