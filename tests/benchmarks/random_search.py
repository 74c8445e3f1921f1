"""Random search with asynchronous successive halving by Optuna, on the candidates of `bench_search`, which calls this.

The folder holds task.json: the candidates, their words, how many epochs a whole training has, seconds and a seed;
found.json becomes the test accuracy of the trial that validation images liked best.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lightning as L
import optuna

from src.runs.folder import RunFolder
from src.selection.training import compose, quiet
from src.training.session import advance
from tests.benchmarks.bench_recipes import ALWAYS


class Reporting(L.Callback):
    """Tells a trial what each epoch has come to, and ends it where it is pruned or the time is over."""

    def __init__(self, trial: optuna.Trial, end: float) -> None:
        self.trial, self.end = trial, end
        self.pruned = False
        self.epochs = 0

    def on_validation_epoch_end(self, trainer: L.Trainer, *_: Any) -> None:
        accuracy = float(trainer.callback_metrics["val/accuracy"])
        self.epochs += 1
        self.trial.report(accuracy, self.epochs)
        self.pruned = self.trial.should_prune()
        trainer.should_stop |= self.pruned or time.monotonic() > self.end


def main() -> None:
    folder = Path(sys.argv[1])
    task = json.loads((folder / "task.json").read_text())
    end = time.monotonic() + task["seconds"]
    epochs = f"trainer.max_epochs={task['epochs']}"

    def objective(trial: optuna.Trial) -> float:
        own = task["candidates"][trial.suggest_categorical("candidate", list(task["candidates"]))]
        cfg = compose([*task["words"], *own, *ALWAYS, epochs])
        reporting, run = Reporting(trial, end), RunFolder(folder / str(trial.number))
        with quiet(run.path):
            advance(cfg, run, "random search", callbacks=[reporting], again="")
        trial.set_user_attr("epochs", reporting.epochs)
        if reporting.pruned:
            raise optuna.TrialPruned
        return float(max(trial.storage.get_trial(trial._trial_id).intermediate_values.values()))

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=task["seed"]),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    )
    study.optimize(objective, timeout=task["seconds"])
    seen = [trial for trial in study.trials if trial.intermediate_values]
    best = max(seen, key=lambda trial: max(trial.intermediate_values.values()))
    words = [f"checkpoint={folder / str(best.number)}", f"output={folder / 'measured'}"]
    subprocess.run([sys.executable, "-m", "src.evaluate", *words], check=True)
    found = json.loads((folder / "measured" / "evaluate.json").read_text())
    accuracy = max(best.intermediate_values.values())
    (folder / "found.json").write_text(json.dumps({
        "candidate": best.params["candidate"], "epochs": best.user_attrs["epochs"],
        "test_accuracy": found["test/accuracy"], "val_accuracy": accuracy,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
