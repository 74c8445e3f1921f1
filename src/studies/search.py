"""What a search chose: the run that a sweeper such as Optuna found best by the `monitor` of its best checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.run import RunFolder
from src.studies.contents import UnusableError, is_number, read_yaml

RESULTS = "optimization_results.yaml"
"""What Hydra's Optuna sweeper leaves in the folder of a sweep."""


@dataclass(frozen=True)
class Choice:
    """The chosen run by its number in the sweep, the settings that were looked for, the monitor and its value there."""

    run: str
    settings: str
    monitor: str
    value: float

    def __str__(self) -> str:
        return f"the search chose run {int(self.run) + 1}, {self.settings}, by {self.monitor} = {self.value:.4g}"


def read_choice(sweep: Path) -> Choice | None:
    """None where the sweep is no search, or its results or the chosen run can't be read."""
    try:
        results = read_yaml(sweep / RESULTS, dict)
        params, value = results.get("best_params"), results.get("best_value")
        if not isinstance(params, dict) or not is_number(value):
            return None
        for folder in sorted(path for path in sweep.iterdir() if path.name.isdigit()):
            run = RunFolder(folder)
            pairs = [word.partition("=")[::2] for word in run.overrides() or ()]
            if run.is_whole and params.items() <= {key: _value(text) for key, text in pairs}.items():
                monitor = str(read_yaml(run.hydra / "config.yaml", dict).get("monitor"))
                if run.metrics().get(monitor) == value:
                    words = ", ".join(
                        f"{key}={number:.4g}" if is_number(number) else f"{key}={number}"
                        for key, number in params.items()
                    )
                    return Choice(folder.name, words, monitor, value)
    except (UnusableError, OSError, ValueError, TypeError):
        return None
    return None


def _value(text: str) -> Any:
    """A number as such: YAML, which the results are in, may write it otherwise than the command line."""
    try:
        return float(text)
    except ValueError:
        return text
