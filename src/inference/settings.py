"""The configuration of a run, for what has to do with its data or its training again."""

from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import src.overrides  # noqa: F401  # the resolvers that the configuration of a study needs
from src.errors import InputError
from src.run import RunFolder


def run_settings(run: RunFolder) -> Any:
    """The composed configuration of `run`, unresolved: a sweep's name may be the time of day, which only Hydra tells.

    Raises `InputError` where there is none that can be read.
    """
    file = run.hydra / "config.yaml"
    try:
        settings = OmegaConf.load(file)
    except FileNotFoundError:
        raise InputError(f"{file} is missing, which says what the run was trained on: name a whole run") from None
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{file} can't be read ({str(error).splitlines()[0]}): name a whole run") from error
    lacking = [key for key in ("seed", "model", "data", "trainer") if key not in settings]
    if not isinstance(settings, DictConfig) or lacking:
        raise InputError(f"{file} is no configuration of src.train: name a whole run")
    return settings
