"""What a search chose: the run that a sweeper such as Optuna found best, by its best checkpoint's `monitor`."""

from dataclasses import dataclass
from pathlib import Path

from ..runs.contents import UnusableError, is_number, read_yaml
from ..runs.differing import number_of
from ..runs.folder import RunFolder

RESULTS = "optimization_results.yaml"
"""What Hydra's Optuna sweeper leaves in the folder of a sweep."""


@dataclass(frozen=True)
class Choice:
    """The chosen run by its folder's name, the settings that were searched, the monitor and its value."""

    run: str
    settings: str
    monitor: str
    value: float

    def __str__(self) -> str:
        number = int(self.run.partition("_")[0]) + 1
        return f"the search chose run {number}, {self.settings}, by {self.monitor} = {self.value:.4g}"


def read_choice(sweep: Path) -> Choice | None:
    """Return the choice; None if the sweep is no search, or its results or the chosen run can't be read."""
    try:
        results = read_yaml(sweep, RESULTS, dict)
        params, value = results.get("best_params"), results.get("best_value")
        if not isinstance(params, dict) or not is_number(value):
            return None
        numbered = sorted((number, path) for path in sweep.iterdir() if (number := number_of(path)) is not None)
        for run in (RunFolder(path) for _, path in numbered):
            if not run.is_whole:
                continue
            monitor = str(read_yaml(run.path, ".hydra/config.yaml", dict).get("monitor"))
            if run.metrics().get(monitor) == value:  # the first of several, as Optuna chooses
                texts = ((key, f"{word:.4g}" if is_number(word) else word) for key, word in params.items())
                words = [f"{key}={text}" for key, text in texts]
                return Choice(run.path.name, ", ".join(words), monitor, value)
    except (UnusableError, OSError, ValueError, AttributeError):
        return None
    return None
