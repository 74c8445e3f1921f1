"""What to do next: the last lines of a verb, commands to be copied, with the run filled in."""

import logging
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from ..logs import WHOLE
from ..ranks.place import is_follower
from ..settings.defaults import PACKAGE

if TYPE_CHECKING:
    from ..trained.checkpoint import Trained

log = logging.getLogger(__name__)

STEPS: Mapping[str, Sequence[str]] = {
    "train": ("evaluate checkpoint={tested}", "explain checkpoint={run}", "app checkpoint={run}"),
    "evaluate": ("explain checkpoint={run} misclassified=true", "predict checkpoint={checkpoint} images=PHOTOS"),
    "explain": ("explain checkpoint={run} faithfulness=true", "app checkpoint={checkpoint}"),
    "audit": ("audit {data} fix=copies", "train {data}"),
    "benchmark": ("train model={model}",),
    "runs": ("report runs={folder}", "runs prune {chosen}"),
    "export": ("python {folder}/example.py PICTURE",),
    "search": ("predict checkpoint={folder} images=PHOTOS", "explain checkpoint={folder}"),
    "pack": ("train data=folder data.root={folder}",),
    "adopt": ("evaluate checkpoint={folder} data=folder data.root=PHOTOS", "predict checkpoint={folder} images=PHOTOS"),
}
"""What to type after each verb, in braces what it fills in; a word in capitals is the user's own. `run` is there where
the checkpoint belongs to one, with images of its own. `predict` and `report` end with where their answer is."""

OF_ONE_CLASS = re.compile(r"app |.* (misclassified|faithfulness)=")
"""What isn't possible where images have several labels."""


def say_next(verb: str, *, leave_out: Sequence[str] = (), multilabel: bool = False, **filled: Sequence[str]) -> None:
    """Say what to do after a verb; nothing in a run of a sweep, nor in other processes than the first.

    Args:
        leave_out: settings of steps that have been done, or lead to nothing.
        filled: what stands for the words in braces, a text or several words; a step with another one is left out.
    """
    if is_follower() or (HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN):
        return
    steps = [step for step in STEPS[verb] if not any(f" {setting}=" in step for setting in leave_out)]
    for number, step in enumerate(filled_in(steps, multilabel=multilabel, **filled)):
        log.info("%s%s", "next".ljust(13) if number == 0 else " " * 13, step, extra={WHOLE: True})


def filled_in(steps: Sequence[str], *, multilabel: bool = False, **filled: Sequence[str]) -> list[str]:
    """Return steps as they are typed, without those that lack a word or don't go with several labels an image."""
    return [
        _command(step, filled)
        for step in steps
        if set(re.findall(r"{(\w+)}", step)) <= filled.keys() and not (multilabel and OF_ONE_CLASS.match(step))
    ]


def next_of(trained: "Trained") -> dict[str, Any]:
    """Return what a verb knows of the checkpoint that it was given."""
    run = trained.run
    is_best = run is not None and trained.path == run.best_checkpoint
    checkpoint = run.shown if run is not None and is_best else str(trained.path)
    return {"checkpoint": checkpoint, "multilabel": trained.multilabel} | ({"run": checkpoint} if run else {})


def data_words() -> list[str]:
    """Return what was typed about the data, as a shell gives it to a command."""
    typed = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    words = [word for word in typed if word.lstrip("+").partition("=")[0].partition(".")[0] == "data"]
    return [re.sub(r"^([^=]*=)'([^'\\]*)'$", r"\1\2", word) for word in words]  # paths are in Hydra's quotes


def _command(step: str, filled: Mapping[str, Sequence[str]]) -> str:
    """Return a step as it can be typed: words with blanks quoted, the verb as this one was started."""
    verb, *words = step.split()
    said: list[str] = []
    for word in words:
        several = filled.get(word.strip("{}"))
        said += [word.format(**filled)] if several is None or isinstance(several, str) else several
    return " ".join([verb if verb == "python" else how_to_start(verb), *map(shlex.quote, said)])


def how_to_start(verb: str) -> str:
    """Return `reslens VERB` or `python -m src.VERB`, with the Python that was typed."""
    if PACKAGE != "src" or any(Path(word).stem == "reslens" for word in sys.orig_argv[:2]):
        return f"reslens {verb}"
    typed = sys.orig_argv[0] if sys.orig_argv[1:2] == ["-m"] else "python"
    return f"{shlex.quote(typed)} -m {PACKAGE}.{verb}"


def typed_again(verb: str) -> str:
    """Return the command that was typed, as it can be typed again."""
    words = sys.orig_argv
    at = next((place for place, word in enumerate(words) if word == verb or word.endswith(f".{verb}")), len(words))
    return " ".join([how_to_start(verb), *map(shlex.quote, words[at + 1 :])])  # sys.argv has words of Hydra's by now
