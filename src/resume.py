"""Going on with a run: what was typed when it began, what is typed now, and whether both mean the same training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from src.errors import InputError
from src.run import RunFolder

MAY_CHANGE = ("trainer", "checkpoint_every", "cost", "data.root", "data.num_workers", "resume", "sweep", "study")
"""Settings that a run may go on with otherwise than it began: for how long and on what it is trained, not what."""

NAMES_ONLY = ("resume", "sweep", "study", "hydra")


def find_run(path: str) -> RunFolder:
    """The run that `resume=` names. Raises `InputError` where there is none that can be gone on with."""
    run = RunFolder(Path(path).expanduser())
    remedy = "name the folder of a run, such as outputs/DATA/MODEL/TIME"
    if not run.path.is_dir():
        raise InputError(f"resume={path} is no folder: {remedy}")
    known = run.record_file.exists() or _began(run)
    if not known or run.overrides() is None or not (run.hydra / "config.yaml").exists():
        lacking = ".hydra/" if known else "run.json"
        raise InputError(f"resume={path} holds no run of src.train (no {lacking} in it): {remedy}")
    return run


def _began(run: RunFolder) -> bool:
    """Whether Hydra has noted a training here: one that is killed before its data are read has no record yet."""
    try:
        return bool(OmegaConf.select(OmegaConf.load(run.hydra / "hydra.yaml"), "hydra.job.name") == "train")
    except (OSError, ValueError, YAMLError, OmegaConfBaseException):
        return False


def run_to_resume(words: Sequence[str]) -> RunFolder | None:
    """The run that a `resume=` among overrides names; None without one."""
    named = [word.partition("=")[2] for word in words if _setting(word) == "resume"]
    if not named or named[-1] in ("null", ""):
        return None
    return find_run(str(OverridesParser.create().parse_override(f"resume={named[-1]}").value()))


def merge_words(run: RunFolder, typed: Sequence[str]) -> list[str]:
    """The overrides that `run` was last trained with, then those typed now; of two for one setting the latter."""
    now = {_setting(word) for word in typed}
    record = run.record() if run.status else {}
    last = [entry["overrides"] for entry in record.get("resumed", []) if "overrides" in entry]
    before = last[-1] if last else run.overrides() or []
    return [*(word for word in before if _setting(word) not in now and not _is_hydras(word)), *typed]


def _setting(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def _is_hydras(word: str) -> bool:
    return _setting(word).startswith(("hydra.", "hydra/"))


def check_same(run: RunFolder, cfg: DictConfig, may_change: Sequence[str] = MAY_CHANGE, remedy: str = "") -> None:
    """Raise `InputError` where `cfg` would train something else than `run` began with, with the first difference."""
    before, now = (_settings(content) for content in (OmegaConf.load(run.hydra / "config.yaml"), cfg))
    for key in before:
        allowed = any(key == name or key.startswith(f"{name}.") for name in may_change)
        if key in now and before[key] != now[key] and not allowed:
            raise InputError(
                f"{run.shown} was begun with {key}={before[key]}, now it is {now[key]}: "
                + (remedy or "leave that out, or train a new run without resume=")
            )


def is_done(run: RunFolder, cfg: DictConfig) -> bool:
    """Whether the run is finished and is not asked for more epochs; it may have stopped early, and has fewer then."""
    if not run.is_whole:
        return False
    began = OmegaConf.select(OmegaConf.load(run.hydra / "config.yaml"), "trainer.max_epochs")
    return bool(cfg.trainer.max_epochs <= max(began, run.metrics()["epochs"]))


def _settings(content: Any) -> dict[str, Any]:
    """Settings by their dotted keys, resolved."""
    content = OmegaConf.create({key: content._get_node(key) for key in content if key not in NAMES_ONLY})
    try:
        return flat(OmegaConf.to_container(content, resolve=True))
    except OmegaConfBaseException as error:
        raise InputError(f"the settings of the run can't be read: {str(error).splitlines()[0]}") from error


def flat(content: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted keys."""
    if not isinstance(content, dict) or not content:
        return {prefix: content}
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= flat(value, f"{prefix}.{key}" if prefix else str(key))
    return found
