"""Resuming a run: what was typed when it began, what is typed now, and whether both mean the same training."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..errors import InputError, first_line
from ..runs.contents import UnusableError, read_config, read_yaml
from ..runs.folder import EVENTS, RunFolder
from ..runs.foreign import look_over
from ..runs.saved_settings import unsaid
from ..settings.check import plain
from ..settings.composing import Composer, quote
from ..settings.references import check_resolvers
from ..settings.trust import flat
from .destination import choose_destination

MAY_CHANGE = (
    *("trainer", "checkpoint_every", "cost", "probabilities", "requeue", "data.root", "data.table", "data.num_workers"),
    *("data.on_device", "data.copy_limit", "resume", "sweep", "study", "name"),
)
"""Settings that may change on resume: how long and on what hardware a run trains, not what it trains."""

PLACES = ("hydra.run.dir", "name")
"""What says where a run lies."""

LIMITS = ("max_steps", "max_time")
"""What can end a training besides the number of its epochs."""

NAMES_ONLY = ("resume", "sweep", "only", "study", "name", "hydra")

MOST_WORDS, LONGEST = 1_000, 10_000
"""How many overrides a run may have, and their characters: Hydra's parser takes its time."""


def find_run(path: str) -> RunFolder:
    """Return the run that `resume=` names. Raise `InputError` where there is none that can be resumed."""
    run = RunFolder(Path(path).expanduser())
    remedy = "name the folder of a run, such as outputs/DATA/MODEL/TIME"
    if not run.path.is_dir():
        raise InputError(f"resume={path} is no folder: {remedy}")
    look_over(run.path)
    _refuse_other_kinds(run)
    if (run.path / "multirun.yaml").exists():
        raise InputError(f"resume={path} is a sweep: give its command again, with its sweep=, or name one of its runs")
    known = run.record_file.exists() or _began(run)
    files = (run.hydra / "overrides.yaml", run.hydra / "config.yaml")
    if not known or not all(file.exists() for file in files):
        lacking = ".hydra/" if known else "run.json"
        raise InputError(f"resume={path} holds no run of src.train (no {lacking} in it): {remedy}")
    try:
        run.typed()
    except UnusableError as error:
        raise InputError(f"resume: {error}: repair it, or train a new run") from None
    return run


def _refuse_other_kinds(run: RunFolder) -> None:
    """Raise `InputError` where a folder is in the place of a file that a resumed run writes, or the other way round."""
    files = [run.record_file, *run.tables, run.path / "train.log", *run.path.glob(f"{EVENTS}*")]
    for path in (path for path in files if path.is_dir()):
        raise InputError(f"resume: {path} is a folder, and the run writes a file there: move it away")
    for path in (path for path in (*run.folders, run.hydra) if path.is_file()):
        raise InputError(f"resume: {path} is a file, and the run writes a folder there: move it away")


def _began(run: RunFolder) -> bool:
    """Return whether Hydra started a training here: one killed before its data were read has no record yet."""
    try:
        return bool(read_yaml(run.path, ".hydra/hydra.yaml", dict)["hydra"]["job"]["name"] == "train")
    except (UnusableError, KeyError, TypeError):
        return False


def begin_or_go_on(composer: Composer, words: Sequence[str], *, multirun: bool) -> tuple[RunFolder | None, list[str]]:
    """Return the run to go on with, None where one begins, and the overrides without what has been decided.

    `resume=RUN` goes on. `resume=auto` does where the folder that `hydra.run.dir` or `name` names holds a run, and else
    begins there: the same command may be given again and again, by a person, a scheduler or a launcher.
    """
    others = [word for word in words if _setting(word) != "resume"]
    if _named(words) != "auto":
        run = run_to_resume(words)
        if run is not None and any(_setting(word) == "name" for word in words):
            raise InputError("resume= names the run already: leave name= out")
        return run, list(words)
    if multirun:
        raise InputError("resume=auto is for one run: a sweep goes on by itself when its command is given again")
    named = [word for word in words if _setting(word) in PLACES]
    if not named:
        raise InputError("resume=auto needs to know where: say name=NAME, or hydra.run.dir=FOLDER")
    if drawn := re.search(r"\$\{\s*(now\s*:|hex\s*:|sweep\s*\})", named[-1]):
        raise InputError(f"{named[-1]} is another folder each time ({drawn[0]}…), and resume=auto goes on in one")
    folder = choose_destination(composer.compose(others))
    assert folder is not None
    run = RunFolder(folder.path)
    if run.path.is_dir():
        look_over(run.path)
    if run.record_file.exists() or run.checkpoints.exists():
        words = [word for word in others if _setting(word) not in PLACES]
        return find_run(str(run.path)), [*words, f"resume={quote(str(run.path))}"]
    if run.path.is_dir():
        _forget_start(run)
    return None, others


def check_requeue(cfg: DictConfig, words: Sequence[str], *, multirun: bool) -> None:
    """Raise `InputError` where a job that is run again would not go on: its command must be one to repeat."""
    if cfg.get("requeue") and multirun and not any(_setting(word) == "sweep" for word in words):
        raise InputError("requeue=true repeats this command, which would begin another sweep: name it with sweep=NAME")
    if cfg.get("requeue") and not multirun and _named(words) != "auto":
        raise InputError("requeue=true repeats this command: say resume=auto name=NAME, so that it goes on")


def _forget_start(run: RunFolder) -> None:
    """Remove what a process has left that was ended before it had read its images: Hydra's record and a log.

    Hydra writes hydra.yaml second, and the log last. A folder without that file, or with another program's, may hold
    somebody's own train.log.
    """
    config, hydras, overrides = (run.hydra / f"{name}.yaml" for name in ("config", "hydra", "overrides"))
    if _began(run):
        files = [run.path / "train.log", config, hydras, overrides]
    elif not hydras.exists() or not hydras.stat().st_size:
        files = [config, hydras]
    else:
        return
    with run.locked():
        for file in files:
            file.unlink(missing_ok=True)
        with suppress(OSError):
            run.hydra.rmdir()


def run_to_resume(words: Sequence[str]) -> RunFolder | None:
    """Return the run that a `resume=` among overrides names; None without one."""
    named = _named(words)
    if named in (None, "null"):
        return None
    if named in ("", "''", '""'):  # such as resume=$RUN of a variable that isn't set
        raise InputError("resume= names no run: name its folder, or leave resume= out")
    return find_run(str(OverridesParser.create().parse_override(f"resume={named}").value()))


def _named(words: Sequence[str]) -> str | None:
    """Return what `resume` is set to, as it was typed but for the quotes around `auto`; None where it isn't."""
    named = [word.partition("=")[2] for word in words if _setting(word) == "resume"]
    return None if not named else "auto" if named[-1].strip("'\"") == "auto" else named[-1]


def merge_words(run: RunFolder, typed: Sequence[str]) -> list[str]:
    """Return the overrides that `run` was last trained with and those typed now, which win."""
    now = {_setting(word) for word in typed}
    record = run.record() if run.status else {}
    last = [entry["overrides"] for entry in record.get("resumed", []) if "overrides" in entry]
    before = last[-1] if last else run.overrides() or []
    if len(before) > MOST_WORDS or sum(map(len, before)) > LONGEST:
        raise InputError(f"{run.shown} was begun with more overrides than anybody types: train a new run")
    kept = [_again(word) for word in before if _setting(word) not in now and not _is_hydras(run, word)]
    known = now | {_setting(word) for word in kept}
    earlier = [f"{key}={value}" for key, value in unsaid_by(run).items() if key not in known]
    # Where steps or a time are given, the usual number of epochs is any; this run was begun with another.
    epochs = _settings_of(run).get("trainer.max_epochs")
    if not known.isdisjoint(f"trainer.{key}" for key in LIMITS) and isinstance(epochs, int) and epochs > 0:
        earlier += [f"trainer.max_epochs={epochs}"] * ("trainer.max_epochs" not in known)
    if (rate := rate_before_recipes(run)) is not None and "optimizer.lr" not in known:
        earlier.append(f"optimizer.lr={rate}")
    return [*kept, *earlier, *typed]


def unsaid_by(run: RunFolder) -> dict[str, Any]:
    """Return the settings that `run` was begun with without naming them, as its version knew no other way."""
    settings = _settings_of(run)
    data = {key[5:]: value for key, value in settings.items() if key.startswith("data.")}
    if not data:  # of a run that kept none, which was killed early
        return {}
    found = {f"data.{key}": value for key, value in unsaid(data).items()}
    return found if "convolutions" in settings else found | {"convolutions": "library"}


def rate_before_recipes(run: RunFolder) -> Any:
    """Return the rate of a run with pretrained weights from when it was the same as from scratch; else None."""
    settings = _settings_of(run)
    return settings.get("optimizer.lr") if settings.get("model.weights") and "recipe" not in settings else None


def _setting(word: str) -> str:
    return word.strip().lstrip("+~").partition("=")[0]


def _again(word: str) -> str:
    """Return an override of an earlier day: what it added may be there without it by now."""
    adds = word.startswith("+") and not word.startswith("++") and "." in _setting(word)
    return f"+{word}" if adds else word


def _is_hydras(run: RunFolder, word: str) -> bool:
    """Return whether an override of the run is for Hydra itself, as Hydra would understand it."""
    check_resolvers(word, f"{run.shown} was begun with {word[:60]!r}, which")
    try:
        override = OverridesParser.create().parse_override(word)
    except (HydraException, RecursionError, ValueError) as error:
        raise InputError(f"{run.shown} was begun with {word[:60]!r}: {first_line(error)[:200]}") from None
    names = (str(override.key_or_group), str(override.package or ""))
    return any("hydra" in re.split(r"[./@:]", name) for name in names)


def check_same(
    run: RunFolder,
    cfg: DictConfig,
    usual: DictConfig,
    may_change: Sequence[str] = MAY_CHANGE,
    remedy: str = "leave that out, or train a new run without resume=",
) -> None:
    """Raise `InputError` with the first difference where `cfg` would train something else than `run` began with.

    `usual` is what the run's own settings give today. A setting that is in it but not in the run's came with a later
    version.
    """
    before, now = _settings_of(run), _settings(cfg)
    before |= {key: value for key, value in _settings(usual).items() if not any(_same_place(key, k) for k in before)}
    for key in [*before, *(key for key in now if key not in before)]:
        allowed = any(key == name or _is_below(key, name) for name in may_change)
        if not allowed and (key not in now or key not in before or before[key] != now[key]):
            old, new = (_shown(key, settings) for settings in (before, now))
            raise InputError(f"{run.shown} was begun with {key}={old}, now it is {new}: {remedy}")


def what_is_done(run: RunFolder, cfg: DictConfig, usual: DictConfig) -> str | None:
    """Return what to print of a finished run that `cfg` asks for no more than `usual`, its last settings; else None.

    It may have stopped early, before its last epoch.
    """
    if not run.is_whole:
        return None
    done, asked = run.metrics().get("epochs"), int(usual.trainer.max_epochs)
    if not isinstance(done, int):
        raise InputError(f"{run.metrics_file} is damaged (it doesn't say how many epochs): train a new run")
    pruned = run.cannot_go_on
    changed = [key for key in LIMITS if cfg.trainer[key] != usual.trainer[key]]
    if changed or cfg.trainer.max_epochs > max(asked, done):
        if pruned is not None:
            raise InputError(f"resume: {pruned}")
        return None
    if pruned is not None:
        return f"{run.shown} is finished, with {done} epochs; {pruned}"
    ways = [
        f"another trainer.{key} than {usual.trainer[key]}" for key in LIMITS if usual.trainer[key] not in (None, -1)
    ]
    if asked > 0 or not ways:
        ways.insert(0, f"trainer.max_epochs=N{f', more than {asked},' if asked > done else ''}")
    others = "".join(f", and so does {way}" for way in ways[1:])
    return f"{run.shown} is finished, with {done} epochs: {ways[0]} gives it more{others}"


def _is_below(key: str, node: str) -> bool:
    return key.startswith(f"{node}.")


def _same_place(key: str, other: str) -> bool:
    """Return whether both can't be set at once: `data.augment` is null, or `data.augment.flip` exists."""
    return key == other or _is_below(key, other) or _is_below(other, key)


def _shown(key: str, settings: Mapping[str, Any]) -> str:
    """Return what is at the key, a value or several below it."""
    below = {name.removeprefix(f"{key}."): value for name, value in settings.items() if _is_below(name, key)}
    return plain(settings.get(key, below or "not set"))


def _settings_of(run: RunFolder) -> dict[str, Any]:
    file = run.hydra / "config.yaml"
    try:
        settings = _settings(read_config(run.path, ".hydra/config.yaml"))
    except UnusableError as error:
        raise InputError(f"{run.shown}: {error}: repair it, or train a new run") from None
    except (ValueError, AttributeError, TypeError, OmegaConfBaseException, RecursionError) as error:
        raise InputError(f"{file} can't be read ({first_line(error)}): repair it, or train a new run") from error
    if not any(settings):  # the only key is that of all of it, ""
        raise InputError(f"{file} is empty: repair it, or train a new run")
    return settings


def _settings(content: Any) -> dict[str, Any]:
    """Return settings by their dotted keys, resolved."""
    content = OmegaConf.create({key: content._get_node(key) for key in content if key not in NAMES_ONLY})
    return flat(OmegaConf.to_container(content, resolve=True))
