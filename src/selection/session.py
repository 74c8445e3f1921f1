"""A search from its configuration to its pick: begin or go on, race, finish, look, write."""

import logging
import math
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ..analysis.tasks import MULTILABEL, task_of
from ..command.next_steps import how_to_start
from ..data import ImageDataModule
from ..data.splits import SPLITS
from ..errors import InputError, RunError
from ..files import remove_partial
from ..logs import say_interrupted
from ..runs.named import LAST
from ..runs.output import grown, output_folder
from ..runs.provenance import provenance
from ..runs.reserved import reserved
from ..settings.composing import composing_beside
from ..settings.trust import without_hydra
from ..training.assemble import build_trainer, to_dict
from ..training.hardware import describe_hardware, uses_cuda
from ..training.learning_rate import quiet_lightning
from .candidates import MOST, MOST_NAMED, Candidate, choose_networks, choose_sizes, list_candidates
from .finish import cheapest, finish, look
from .origin import origin_of
from .outcome import write_outcome
from .race import Race
from .record import FILE, VERSION, Record
from .screen import open_screen
from .training import Pictures, compose
from .tuning import tuning

log = logging.getLogger(__name__)

USUAL_MINUTES = 10.0

MOST_BEFORE = 0.5
"""Share of the time that may be gone before anything is trained."""

VALIDATED, MOST_VALIDATED = 500, 0.2
"""So many images should choose, or this share of those that there are (AutoGluon's rule for its holdout)."""

TAKEN = ("data.image_size",)
DECIDED = ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time", "trainer.min_epochs", "trainer.min_steps")
"""Settings of a training that the search itself decides."""

PARTIAL = ("fast_dev_run", "limit_val_batches", "limit_test_batches", "overfit_batches")
"""Settings of the Trainer with which not all images are answered."""


def run_search(cfg: DictConfig, words: Sequence[str], began: float) -> Record:
    """Search as the composed configuration says; return what search.json holds, with its folder.

    Args:
        words: What was typed, in full.
        began: `time.monotonic()` when the command began: its minutes count from there.

    Raises:
        InputError: A setting or the data are wrong; nothing is left behind.
        RunError: No candidate could be trained.
    """
    if cfg.resume is not None:
        return _go_on(cfg, words, began)
    _check(cfg, words)
    output = output_folder(cfg.output, None, "search")
    with grown(output):
        record = Record(output, {}, began)
        with _interrupted(record):
            return _run(_prepare(cfg, record, words))


def _go_on(cfg: DictConfig, words: Sequence[str], began: float) -> Record:
    """Go on with a search in its folder, with the words that it began with."""
    if not str(cfg.resume).strip():  # of a variable that isn't set
        raise InputError("resume= names no search: name its folder, or say resume=last")
    folder = _newest() if cfg.resume == LAST else Path(str(cfg.resume)).expanduser()
    more = [word for word in words if word.partition("=")[0] != "resume"]
    if more:
        raise InputError(f"{more[0]}: resume= goes on with the settings that the search began with: leave the rest out")
    record = Record.read(folder, began)
    before = [word for word in map(str, record.content["words"]) if word.partition("=")[0] != "output"]
    with composing_beside("search") as composer:
        again = composer.compose(before, typed=())
        composer.check(again)
        cfg = without_hydra(again)
    with reserved(folder, f"resume={folder}"):
        if record.content.get("status") == "finished":
            log.info("%s is finished already", record.shown)
            return record
        remove_partial(folder)
        with _interrupted(record):
            return _run(_prepare(cfg, record, before))


def _newest() -> Path:
    """Return the folder of the search that was begun or stopped last."""
    found = sorted(Path("outputs/search").glob(f"*/{FILE}"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise InputError("resume=last: there is no search below outputs/search/ yet: name the folder of one")
    return found[-1].parent


def _check(cfg: DictConfig, words: Sequence[str]) -> None:
    """Raise `InputError` for what a search can't do."""
    typed = {word.lstrip("+~").partition("=")[0] for word in words}
    for name in DECIDED:
        if name in typed:
            raise InputError(f"{name} is what a search decides: say minutes=, or steps=, instead")
    for name in PARTIAL:
        if (value := cfg.trainer[name]) not in (None, False, 0) and str(value) != "1.0":
            raise InputError(
                f"trainer.{name}={value} leaves images out, and a search compares on all of them: leave it out, and "
                "say data.max_images=N to train on few"
            )
    if task_of(to_dict(cfg)["data"]) is MULTILABEL:
        raise InputError("src.search compares by one class an image: several labels an image are not possible here yet")
    if cfg.trainer.devices not in ("auto", 1, "1", [0]) or cfg.trainer.num_nodes != 1:
        raise InputError(f"trainer.devices={cfg.trainer.devices}: a search trains in one process: leave it out")
    if cfg.data.folds is not None:
        raise InputError("data.folds is for a cross-validation of one network: search first, and leave it out here")
    if not cfg.trainer.enable_checkpointing:
        raise InputError("trainer.enable_checkpointing=false: a search goes on from checkpoints: leave it out")
    _check_trainer(to_dict(cfg)["trainer"])
    choose_networks(cfg.models)
    if cfg.get("space") is not None and find_spec("optuna") is None:
        raise InputError("space= needs Optuna, which isn't installed: pip install -e '.[search]'")
    if cfg.get("space") is not None and (len(cfg.models or ()) != 1 or len(cfg.sizes or (0,)) != 1):
        raise InputError("space= tries settings around one network at one size: say model=NAME, and no more than one")


def _check_trainer(settings: Mapping[str, Any]) -> None:
    """Raise `InputError` where no candidate could be trained with these settings."""
    uses_cuda(settings["accelerator"])
    found = {"precision": "32-true", "devices": 1}  # a training finds them out by itself
    settings = {key: found.get(key, value) if value == "auto" else value for key, value in settings.items()}
    with quiet_lightning():
        build_trainer(settings, Path(), [], [])


def passed_on(words: Sequence[str]) -> list[str]:
    """Return those words that all trainings get: about data and hardware, and the seed."""
    kept = [
        word
        for word in words
        if (key := word.lstrip("+~").partition("=")[0]).split(".")[0] in ("data", "trainer") or key == "seed"
    ]
    return [word for word in kept if word.partition("=")[0] not in TAKEN]


def _prepare(cfg: DictConfig, record: Record, typed: Sequence[str]) -> Race:
    """Find the images, set the test images apart by their digest, and list the candidates."""
    words = passed_on(typed)
    data = ImageDataModule(**to_dict(cfg)["data"], seed=cfg.seed)
    data.prepare_data()
    data.setup()
    share = record.content.get("val_fraction") if record.content else _share_to_validate(cfg, data, words)
    if share is not None:
        words = [*words, f"data.val_fraction={share:g}"]
        data = _divided(cfg, data, share)
    for split in ("train", "val"):
        if not data.size(split):
            raise InputError(f"there is no {split} image: a search needs training and validation images")
    networks, sizes = choose_networks(cfg.models), choose_sizes(cfg.sizes, cfg.data.image_size)
    if cfg.get("space") is not None:
        sizes = list(cfg.sizes or [cfg.data.image_size])
    words = [*words, *(["trainer.devices=1"] if cfg.trainer.devices == "auto" else [])]
    if record.content and "convolutions" not in record.content:  # begun when there was no other way
        words.append("convolutions=library")
    models = _models(networks, sizes, words)
    candidates, impossible = list_candidates(
        networks,
        sizes,
        cfg.weights,
        models,
        in_channels=cfg.data.in_channels,
        classes=data.num_classes,
        most=MOST if cfg.models is None or cfg.sizes is None else MOST_NAMED,
    )
    space = cfg.get("space")
    base = candidates
    if space is not None:
        candidates = []  # they are made one by one
    minutes = None if cfg.steps is not None else cfg.minutes or USUAL_MINUTES
    if record.content:
        _check_same(record, data, candidates)
        record.spent_before = float(record.content["seconds"])
    else:
        _look_at_time(minutes, record.spent)
        begun = {"words": list(typed), "loaded": round(record.spent, 2), "val_fraction": share, "convolutions": "auto"}
        record.content = _begin(cfg, data, candidates, impossible, minutes) | begun
    record.write(status="running")
    by_name = {candidate.name: candidate for candidate in candidates}
    screen = open_screen(record, by_name, 60 * minutes if minutes is not None else None)
    screen.introduce(data, impossible, cfg.weights, "" if space is None else f"settings of {networks[0]}")
    race = Race if space is None else partial(tuning, base, to_dict(cfg)["space"])
    return race(record, by_name, Pictures(data), words, screen, minutes, cfg.steps, shlex.join(sys.orig_argv))


def _share_to_validate(cfg: DictConfig, data: ImageDataModule, words: Sequence[str]) -> float | None:
    """Return the share of the images that is to validate where the usual one leaves too few to choose by."""
    images = data.size("train") + data.size("val")
    share = round(min(MOST_VALIDATED, VALIDATED / images), 3)
    if share <= cfg.data.val_fraction or any(word.startswith("data.val_fraction=") for word in words):
        return None
    if _divided(cfg, data, share).size("val") <= data.size("val"):  # a published one stays as it is
        return None
    log.info(
        "%.3g of the images validate, since they choose among all candidates; by default it would be %g",
        share, cfg.data.val_fraction,
    )  # fmt: skip
    return share


def _divided(cfg: DictConfig, data: ImageDataModule, share: float) -> ImageDataModule:
    """Return the same images with another share for validation."""
    other = ImageDataModule(**{**to_dict(cfg)["data"], "val_fraction": share}, seed=cfg.seed)
    other.take(data.found)
    other.setup()
    return other


def _look_at_time(minutes: float | None, spent: float) -> None:
    """Raise `InputError` where nothing can be trained, as loading and looking at the images takes most of the time."""
    if minutes is not None and spent > MOST_BEFORE * 60 * minutes:
        least = math.ceil(spent / MOST_BEFORE / 60 * 2)
        raise InputError(
            f"minutes={minutes:g} leaves no time to train: {spent:.0f} s of it went by in loading and looking at the "
            f"images: say minutes={least}, or more"
        )


def _models(
    networks: Sequence[str], sizes: Sequence[int], words: Sequence[str]
) -> dict[tuple[str, int], Mapping[str, Any]]:
    """Return the model group of each network, as its file has it; sizes make no difference to it."""
    found = {}
    for network in networks:
        cfg = compose([*words, f"model={network}"])
        for size in sizes:
            found[network, size] = to_dict(cfg)["model"]
    return found


def _begin(
    cfg: DictConfig,
    data: ImageDataModule,
    candidates: Sequence[Candidate],
    impossible: Mapping[str, str],
    minutes: float | None,
) -> dict[str, Any]:
    """Return what search.json says at first."""
    batch = data.batch_size
    return {
        "version": VERSION,
        "command": shlex.join(sys.orig_argv),
        "words": [],
        "seed": cfg.seed,
        "minutes": minutes,
        "steps": cfg.steps,
        "weights": cfg.weights,
        **provenance(),
        "hardware": describe_hardware(),
        "data": {
            "name": cfg.data.name,
            "root": str(cfg.data.root),
            "classes": data.class_names,
            "images": {split: data.size(split) for split in SPLITS},
            "digests": data.census,
            "batch_size": batch,
            "steps_an_epoch": -(-data.size("train") // batch),
        },
        "candidates": {candidate.name: candidate.described() for candidate in candidates},
        "impossible": dict(impossible),
        **origin_of(cfg, data),
        "rounds": {},
    }


def _check_same(record: Record, data: ImageDataModule, candidates: Sequence[Candidate]) -> None:
    """Raise `InputError` where the search would go on with other images, or other candidates."""
    before = record.content["data"]["digests"]
    for split in SPLITS:
        if before.get(split) != data.census[split]:
            raise InputError(
                f"resume={record.shown}: the {split} images are not those that the search began with "
                f"({before.get(split)}, now {data.census[split]}): put them back, or search anew"
            )
    if "trials" not in record.content and {one.name for one in candidates} != set(record.content["candidates"]):
        raise InputError(f"resume={record.shown}: the candidates are not those that the search began with: search anew")


def _run(race: Race) -> Record:
    """Race, finish, look, and write it all down."""
    record, screen = race.record, race.screen
    with screen:
        race.recall()
        race.price()
        last = record.recalled("last", race.hold())
        if not last:
            raise RunError(f"no candidate could be trained: {race.reason()}")
        for name in last:  # what a search that was stopped in its finish has measured before
            race.figures.setdefault(name, _latest(record, name))
        last = record.recalled("order", finish(race, last))
    found = record.recalled("look", look(race, last))
    record.write(cheapest=cheapest(race, found["alike"]), pick=last[0])
    write_outcome(race)
    record.write(status="finished")
    screen.close(record)
    return record


def _latest(record: Record, name: str) -> Any:
    for number in sorted(map(int, record.content["rounds"]), reverse=True):
        if (known := record.known(number, name)) is not None:
            return known
    raise RunError(f"{record.folder / FILE} lacks the figures of {name}: search anew")


@contextmanager
def _interrupted(record: Record) -> Iterator[None]:
    """Write how far the search has come when it is told to stop, and say what it knows and how it goes on."""
    try:
        yield
    except BaseException as error:
        told = _told(error)
        if told is None:
            if isinstance(error, RunError):
                record.write(status="failed")
            raise
        if record.content:  # else there is nothing yet to go on with
            record.write(status="interrupted")
            if (so_far := record.content.get("so_far")) is not None:
                log.info("so far       %s", so_far)
            say_interrupted(f": {how_to_start('search')} resume={shlex.quote(record.shown)} goes on")
            if isinstance(told, KeyboardInterrupt):
                told.args = ("said",)
        raise told from None


def _told(error: BaseException | None) -> BaseException | None:
    """Return the interruption that an error is or comes from: Hydra's `finally` can fail where a signal stopped it."""
    while error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
        error = error.__context__
    return error
