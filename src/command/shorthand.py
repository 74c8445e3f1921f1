"""What may be written in short: `lr=0.1` for a setting, `last` or a name for a run's folder."""

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from ..runs.named import find_named
from ..settings.check import schema_of
from ..settings.other_names import in_full
from ..settings.schema.verbs import VERBS, Search

RUNS = ("checkpoint", "resume", "runs", "weights", "judge", "shuffled")
"""Settings that name a run."""

OTHER_WORDS = ("", "null", "auto", "train", "imagenet")
"""What else they take that is no path."""


def spell_out(verb: str, argv: Sequence[str]) -> list[str]:
    """Return what was typed, with settings by their full names and runs by their folders, before paths are quoted."""
    sweep = any(word in ("-m", "--multirun") for word in argv)
    return [_with_folder(verb, word, sweep=sweep) for word in in_full(verb, argv)]


def with_folders(cfg: DictConfig) -> DictConfig:
    """Return a configuration that was composed in Python with runs by their folders, as `spell_out` has them."""
    verb = schema_of(cfg)
    keys = [key for key in RUNS if not (key == "resume" and verb is Search)]  # which is the folder of a search
    typed = {key: value for key in keys if isinstance(value := OmegaConf.select(cfg, key), str)}
    found = {key: folder for key, value in typed.items() if (folder := _folder(value, key)) != value}
    if not found:
        return cfg
    spelt = cfg.copy()
    for key, folder in found.items():
        spelt[key] = folder
    return spelt


def _with_folder(verb: str, word: str, *, sweep: bool) -> str:
    key, equals, value = word.partition("=")
    if not equals or key not in RUNS or key not in VERBS[verb].model_fields or (verb, key) == ("search", "resume"):
        return word
    several = sweep or (value[:1] == "[" and value[-1:] == "]")
    values = value.strip("[]").split(",") if several else [value]
    found = ",".join(_folder(one, key) for one in values)
    return f"{key}=[{found}]" if value[:1] == "[" and several else f"{key}={found}"


def _folder(value: str, key: str) -> str:
    name = value.strip("'\"")
    folder = None if name in OTHER_WORDS else find_named(name, key)
    return value if folder is None else str(folder)
