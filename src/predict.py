"""`python -m src.predict`: the classes of files by a trained network, a row for each, written as it goes."""

import logging
import os
import shlex
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TextIO

from .activity import clear, show
from .command.main import checked, main
from .prediction.request import check_prediction
from .prediction.rows import STDOUT, stdout_kept
from .runs.folder import RunFolder

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


@checked
def predict(cfg: "DictConfig") -> dict[str, Any]:
    """Predict as the composed configuration says; return what predict.json holds, or would hold.

    Raises:
        InputError: A setting is wrong; nothing has been written.
    """
    check_prediction(cfg)
    if cfg.output != STDOUT:
        return _predict(cfg)
    clear()  # rows go to the terminal themselves, perhaps
    with stdout_kept() as stdout:
        try:
            return _predict(cfg, stdout)
        except BrokenPipeError:  # as of `| head`: nobody wants the rest
            os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())  # or Python complains when it ends
            return {}


def _predict(cfg: "DictConfig", stdout: TextIO | None = None) -> dict[str, Any]:
    from .trained.listing import SPLITS, find_paths

    where = str(cfg.images)
    paths = [] if where in SPLITS else find_paths(where)
    from .prediction.files import prepare
    from .prediction.labels import prepare_labels
    from .prediction.together import open_sources, prepare_together
    from .runs.output import grown, output_folder, write_record
    from .trained.checkpoint import choose_device, load_trained  # torch, only now
    from .trained.ensemble import load_ensemble
    from .trained.pictures import open_run_split
    from .trained.standing import say_standing

    if stdout is None:
        show("predicting")
    device = choose_device(cfg.accelerator)
    source: Any
    task: Any
    if (ensemble := load_ensemble(cfg.checkpoint, device, calibrated=cfg.calibrated)) is not None:
        sources = open_sources(where, ensemble, paths, cfg.data.root)
        for member in ensemble.members:
            say_standing(member.trained)
        source, task = next(iter(sources.values())), prepare_together(cfg, ensemble, sources)
        told: dict[str, Any] = {"members": ensemble.as_dict()}
        run = None
    else:
        trained = load_trained(cfg.checkpoint, device, multilabel=True)
        source = open_run_split(where, trained, cfg.data.root) if where in SPLITS else paths
        say_standing(trained)
        task = prepare_labels(cfg, trained) if trained.multilabel else prepare(cfg, trained)
        told, run = {"checkpoint": str(trained.path), "network": trained.name}, trained.run
    output = output_folder(cfg.output, run, "predict")
    with nullcontext() if stdout else grown(output):
        record = {
            **told,
            "images": where,
            "command": shlex.join(sys.orig_argv),
            **task.run(source, output, stdout),
        }
        if stdout is None:
            write_record(output, "predict", record)
            log.info("predictions  %s", RunFolder(output).shown)
    return record


if __name__ == "__main__":
    main("predict", predict)
