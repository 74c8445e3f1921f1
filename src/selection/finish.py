"""The end of a search: the winner is cooled down, and test images are looked at, once."""

import gc
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..analysis.class_intervals import Said, class_interval, count
from ..analysis.intervals import FEW_TESTED, beside_guessing, difference_interval, wilson
from ..analysis.metrics import SCORES
from ..analysis.significance import exact_mcnemar
from ..errors import InputError, RunError, first_line
from ..reporting.run_page import write_run_page
from ..runs.folder import RunFolder
from ..trained.checkpoint import choose_device, load_trained
from ..trained.logits import predict
from ..training.session import run_training
from .judge import alike, corrected, stacked
from .race import Race
from .training import compose, keep_settings, quiet, until

log = logging.getLogger(__name__)

COOLDOWN = 0.2
"""Share of all steps, of a head alone and where steps are the budget."""

MINE = ("cost=true",)
TESTED = ("test=true", "probabilities=true")


def finish(race: Race, last: Sequence[str]) -> list[str]:
    """Train the finalists among `last` to their end; return `last`, the one that validation images like best first."""
    finalists = race.finalists(last)
    for name in finalists:
        beside = [other for other in last[1:2] if other not in finalists]
        cool_down(race, name, beside, at_length=name == last[0])
        ends = {**race.record.content.get("ends", {})}
        ends.setdefault(name, {"at": round(race.record.spent, 2), "accuracy": _validated(race, name)[0]})
        race.record.write(ends=ends)
    if len(finalists) == 1:
        return list(last)
    return [*_in_order(race, last[:2]), *last[2:]]


def _in_order(race: Race, finalists: Sequence[str]) -> list[str]:
    """Return two finalists, the better first, as `judge.best_of` has it.

    How their answers vary beside each other is known from the race, not from what they came to.
    """
    (more, _), (less, _) = values = [_validated(race, name) for name in finalists]
    right, _ = stacked([race.figures[name] for name in finalists])
    near = abs(more - less) <= (right[0] - right[1]).std() / np.sqrt(right.shape[1])
    figure = 1 if near else 0
    return sorted(finalists, key=lambda name: values[finalists.index(name)][figure], reverse=True)


def _validated(race: Race, name: str) -> tuple[float, float]:
    """Return accuracy and negative log-loss on the validation images, of its finished run if there is one."""
    run = race.record.run(name)
    if not run.is_whole:
        return race.figures[name].rank
    metrics = run.metrics()
    return metrics["val/accuracy"], -metrics["val/loss"]


def cool_down(race: Race, name: str, beside: Sequence[str], *, at_length: bool) -> None:
    """Let the rate of a finalist fall to 0, and measure it as any run: its folder is one.

    The winner does so `at_length`, in the time that those `beside` it leave when they are looked at, too; a probe, in
    seconds.
    """
    run, figures = race.record.run(name), race.figures[name]
    if run.is_whole:
        return
    ended = race.ends_with()
    does = "measuring" if ended else "cooling down"
    race.screen.phase(f"{does} {'the winner' if at_length else 'the best head'}, and looking at the test images")
    race.screen.working(name)
    ending = _finish_in_time(race, name, beside) if race.minutes is not None and at_length else _finish(figures.steps)
    words = race.record.recalled("finish" if at_length else "finish_of_the_head", ended or ending)
    tested = TESTED if race.record.content["data"]["images"]["test"] else ()
    typed = [*race.words_of(name, []), *MINE, *tested, *words]
    typed = [word for number, word in enumerate(typed) if not _said_later(word, typed[number + 1 :])]
    cfg = compose(typed)
    try:
        with quiet(run.path):
            keep_settings(run, cfg, typed)
            data = race.pictures.of(race.candidates[name], cfg)
            run_training(cfg, run, race.command, resume=True, again="", data=data)
            if race.record.spent < race.seconds:  # src.report makes it as well
                _write_page(run)
    except RunError as error:  # the answer is of the network as the race left it
        race.record.write(not_cooled_down={**race.record.content.get("not_cooled_down", {}), name: first_line(error)})
        log.warning("%s could not be cooled down: %s", race.candidates[name].shown, first_line(error))
    race.screen.working(None)
    gc.collect()


def _write_page(run: RunFolder) -> None:
    try:
        write_run_page(run)
    except Exception as error:
        log.warning("no report.html: %s", first_line(error))


def _said_later(word: str, later: Sequence[str]) -> bool:
    key = word.partition("=")[0]
    return any(other.partition("=")[0] == key for other in later)


def _finish(steps: int) -> list[str]:
    """Return what ends a training, and in which share of it the rate falls."""
    more = max(1, round(steps * COOLDOWN / (1 - COOLDOWN)))
    return [f"trainer.max_steps={steps + more}", f"scheduler.cooldown={more / (steps + more):.6g}"]


def _finish_in_time(race: Race, name: str, beside: Sequence[str]) -> list[str]:
    """Return the same of a training that takes the time that is left."""
    trained = race.figures[name].seconds
    left = race.seconds - race.record.spent - race.reserve([name], beside)
    whole = max(1, int(trained + max(0.0, left)))
    share = max(0.0, min(1.0, 1 - trained / whole))
    return [f"trainer.max_time={until(whole)}", f"scheduler.cooldown={share:.6g}"]


def look(race: Race, last: Sequence[str]) -> dict[str, Any]:
    """Return what the test images say of the winner, the first of `last`, and of the one behind it.

    Of each the answers on all test images; nothing that follows is chosen by them.
    """
    winner, run = last[0], race.record.run(last[0])
    data, validated = race.record.content["data"], _validated(race, winner)[0]
    found: dict[str, Any] = {
        "winner": winner,
        "validation": {"accuracy": validated, "images": data["images"]["val"]},
        "alike": alike({name: race.figures[name] for name in last}, winner),
    }
    if not data["images"]["test"]:
        return found | {"corrected": _corrected(race)}
    predicted = _answers(race, run, winner)
    targets = race.pictures.first.targets("test")
    found["test"] = _figures(targets, predicted, len(data["classes"]))
    found["optimism"] = validated - found["test"]["accuracy"]
    counts = np.bincount(targets, minlength=len(data["classes"])).tolist()
    found["guessing"] = beside_guessing(found["test"]["accuracy"], counts)
    if len(last) > 1:
        found["runner_up"] = _beside(race, last[1], targets, predicted)
    if len(targets) < FEW_TESTED:
        found["corrected"] = _corrected(race)
    return found


def _figures(targets: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> dict[str, Any]:
    said = Said(targets, predicted, np.arange(len(targets)))
    accuracy, f1 = float((targets == predicted).mean()), SCORES["f1"]
    assert f1.of_counts is not None
    return {
        "images": len(targets),
        "accuracy": accuracy,
        "accuracy_interval": _plain(wilson(accuracy, len(targets))),
        "f1": float(f1.of_counts(count(said, classes))),
        "f1_interval": _plain(class_interval(f1, [said], classes)),
    }


def _plain(interval: tuple[float, float]) -> list[float] | None:
    return None if np.isnan(interval[0]) else [float(end) for end in interval]


def _beside(race: Race, name: str, targets: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[str, Any]:
    """Return what the runner-up answers to the same images, as it stands."""
    run = race.record.run(name)
    try:
        theirs = _answers(race, run, name)
    except (InputError, RunError) as error:
        return {"name": name, "reason": first_line(error)}
    mine_right, right = predicted == targets, theirs == targets
    low, high = difference_interval((mine_right & ~right).astype(np.float64), (right & ~mine_right).astype(np.float64))
    return {
        "name": name,
        "cooled_down": run.is_whole,
        "accuracy": float(right.mean()),
        "difference": float(mine_right.mean() - right.mean()),
        "difference_interval": [low, high],
        "p": exact_mcnemar(mine_right.astype(np.int64) - right.astype(np.int64)),
    }


def _answers(race: Race, run: RunFolder, name: str) -> NDArray[np.int64]:
    if run.is_whole:
        said: NDArray[np.int64] = run.probabilities().logits.argmax(axis=1)
        return said
    cfg = compose(race.words_of(name, ["trainer.max_steps=1"]))
    trained = load_trained(run.last_checkpoint, choose_device("gpu" if cfg.trainer.accelerator == "gpu" else "cpu"))
    data = race.pictures.of(race.candidates[name], cfg)
    data.setup()
    answers: NDArray[np.int64] = predict(trained, (images for images, _ in data.evaluation_dataloader("test"))).argmax(
        axis=1
    )
    return answers


def _corrected(race: Race) -> dict[str, Any] | None:
    found = corrected(list(race.figures.values()), int(race.record.content["seed"]))
    return (
        None if found is None else {"accuracy": found[0], "interval": list(found[1]), "candidates": len(race.figures)}
    )


def cheapest(race: Race, names: Sequence[str]) -> str:
    """Return the one of these that answers at the least cost: multiply-accumulates, then parameters."""
    return min(names, key=lambda name: (race.candidates[name].macs, race.candidates[name].parameters))
