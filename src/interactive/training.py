"""`train("model=resnet50", epochs=2)`: a training within this process, said and kept as that of the command."""

import inspect
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ..command.destination import choose_destination
from ..command.going_on import compose_again
from ..command.launching import call
from ..command.resume import begin_or_go_on
from ..command.shorthand import spell_out
from ..command.tasks import run_each
from ..errors import InputError
from ..runs.folder import RunFolder
from ..settings.composing import RAW_PATHS, composing, quote, quote_paths
from ..settings.other_names import refuse_added
from .run import Run
from .short_errors import shortly
from .undisturbed import logged_in, torch_kept, undisturbed

if TYPE_CHECKING:
    from lightning import Callback

PLAIN = re.compile(r"[A-Za-z_][\w.-]*")
"""Text that Hydra takes for text without quotes."""

ALONE = ("auto", 1, "1", [0])
"""Values of `trainer.devices` with which one process trains."""


@shortly
def train_here(train: Callable[..., dict[str, float]], words: Sequence[str], settings: Mapping[str, Any]) -> Run:
    """Train as the words and settings say; see `src.train`.

    Args:
        train: the verb.

    Raises:
        InputError: The settings or the data are wrong; nothing has begun.
        RunError: The run began and can't go on.
        KeyboardInterrupt: Somebody interrupted it. It can be resumed.
    """
    own, settings = _own_callbacks(settings)
    words = [*map(_checked, words), *(f"{key}={_typed(key, value)}" for key, value in settings.items())]
    begun: list[Path] = []
    told = False
    try:
        with undisturbed(words):
            return _train(inspect.unwrap(train), words, own, begun)
    except KeyboardInterrupt:
        folder = next((RunFolder(path) for path in begun if RunFolder(path).status), None)
        raise KeyboardInterrupt(
            "nothing has begun" if folder is None else f"train(resume={folder.shown!r}) goes on here"
        ) from None
    except SystemExit:  # SIGTERM or the like: the run has been put right, and now it is for whose process this is
        told = True
    if told:
        signal.raise_signal(signal.SIGTERM)
    raise KeyboardInterrupt("told to stop")


def _train(
    train: Callable[..., dict[str, float]], words: Sequence[str], own: Sequence["Callback"], begun: list[Path]
) -> Run:
    def task(cfg: DictConfig) -> Run:
        folder = Path(HydraConfig.get().runtime.output_dir)
        begun.append(folder)
        if cfg.trainer.devices not in ALONE or cfg.trainer.strategy not in ("auto", None):
            raise InputError("several processes are for the command line: leave trainer.devices and strategy out here")
        cfg.trainer.devices = 1 if cfg.trainer.devices == "auto" else cfg.trainer.devices
        with logged_in(folder), torch_kept():
            return Run(folder, train(cfg, callbacks=own))

    typed = quote_paths(spell_out("train", words))
    refuse_added("train", typed)
    with composing("train") as composer:
        run, typed = begin_or_go_on(composer, typed, multirun=False)
        if run is not None:
            cfg, done = compose_again(composer, run, typed)
            if done is not None:
                print(done)
                return Run(run.path.absolute(), run.metrics())
            results, failures = run_each(composer, cfg, task, None, start=call)
        else:
            cfg = composer.compose(typed)
            if cfg.hydra.mode == RunMode.MULTIRUN:
                raise InputError("hydra.mode=MULTIRUN is a sweep, which is for the command line: leave it out")
            if cfg.requeue:
                raise InputError("requeue=true repeats a command, and this is none: leave it out")
            folder = choose_destination(cfg)
            composer.check(cfg)
            results, failures = run_each(composer, cfg, task, folder, start=call)
    for _, error in failures:
        raise error
    result: Run = results[0]
    return result


def _own_callbacks(settings: Mapping[str, Any]) -> tuple[list["Callback"], dict[str, Any]]:
    """Return the callbacks that are objects, and the settings without them."""
    given = settings.get("callbacks", [])
    several = list(given) if isinstance(given, list | tuple) else [given]
    own = [one for one in several if not isinstance(one, str)]
    if not own:
        return [], dict(settings)
    from lightning import Callback

    for one in own:
        if not isinstance(one, Callback):
            raise InputError(f"callbacks={one!r} is not possible: take names of options, or Lightning callbacks")
    names = [one for one in several if isinstance(one, str)]
    others = {key: value for key, value in settings.items() if key != "callbacks"}
    return own, others | ({"callbacks": names} if names else {})


def _checked(word: Any) -> str:
    """Return a word as the command line takes it."""
    if not isinstance(word, str) or ("=" not in word[1:] and not word.startswith("~")):
        raise InputError(f"{word!r} is not understood: settings are words such as 'model=resnet50', or epochs=2")
    if word.startswith("-"):
        raise InputError(
            f"{word!r} is not understood: settings are written without dashes; a sweep is for src.train -m"
        )
    return word


def _typed(key: str, value: Any) -> str:
    """Return a value of Python as it is typed."""
    if isinstance(value, Run):
        value = value.folder
    if hasattr(value, "item"):  # of NumPy
        value = value.item()
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | Path):
        text = str(value)
        return text if key in RAW_PATHS or PLAIN.fullmatch(text) else quote(text)
    if isinstance(value, list | tuple):
        return f"[{','.join(_typed('', one) for one in value)}]"
    if isinstance(value, Mapping):
        inner = ",".join(f"{name}:{_typed('', one)}" for name, one in value.items())
        return f"{{{inner}}}"
    raise InputError(f"{key}={value!r} is not possible: take a number, a text, a path or a list of these")
