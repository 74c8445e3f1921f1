"""`python -m src.evaluate`: how good a trained network is on labelled images, and how honest its confidences are."""

import logging
import shlex
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from .activity import show
from .command.main import checked, main
from .command.next_steps import next_of, say_next
from .runs.folder import RunFolder

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


@checked
def evaluate(cfg: "DictConfig") -> dict[str, Any]:
    """Evaluate as the composed configuration says; return what evaluate.json holds.

    Raises:
        InputError: A setting is wrong; nothing has been measured or written.
    """
    from .evaluation.labels import evaluate_labels
    from .evaluation.record import evaluate_examples, find_request  # torch, only now
    from .evaluation.scaling import keep_temperature
    from .evaluation.together import evaluate_together, find_requests
    from .runs.output import filled, output_folder, write_record
    from .trained.checkpoint import choose_device, load_trained
    from .trained.decision import decision_of
    from .trained.ensemble import load_ensemble
    from .trained.standing import say_standing

    show("evaluating")
    device = choose_device(cfg.accelerator)
    if (ensemble := load_ensemble(cfg.checkpoint, device, calibrated=False)) is not None:
        for member in ensemble.members:
            say_standing(member.trained, tested=False)
        requests = find_requests(cfg, ensemble)
        output = output_folder(cfg.output, None, "evaluate")
        with filled(output, "evaluate") as folder:
            measured = evaluate_together(ensemble, requests, folder, cfg.seed, whole=cfg.probabilities)
            record = {"command": shlex.join(sys.orig_argv), **measured}
            write_record(folder, "evaluate", record)
        log.info("evaluation   %s", RunFolder(output).shown)
        return record
    trained = load_trained(cfg.checkpoint, device, multilabel=True)
    say_standing(trained, tested=False)
    decision = decision_of(cfg, trained)
    examples = find_request(cfg, trained)
    output = output_folder(cfg.output, trained.run, "evaluate")
    with filled(output, "evaluate") as folder:
        command = shlex.join(sys.orig_argv)
        kept = {"copies": cfg.copies, "whole": cfg.probabilities}
        of_classes = partial(evaluate_examples, decision=decision, calibrate=cfg.calibrate)
        evaluate_ = evaluate_labels if trained.multilabel else of_classes
        record = {"command": command, **evaluate_(trained, examples, folder, cfg.mistakes, cfg.seed, **kept)}
        write_record(folder, "evaluate", record)
    if cfg.calibrate:
        keep_temperature(trained, record["calibration"])
    log.info("evaluation   %s", RunFolder(output).shown)
    all_right = record.get(f"{record['split']}/accuracy") == 1
    say_next("evaluate", leave_out=["misclassified"] if all_right else [], **next_of(trained))
    return record


if __name__ == "__main__":
    main("evaluate", evaluate)
