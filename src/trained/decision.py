"""Between two classes: from which probability of one of them it is decided."""

from omegaconf import DictConfig

from ..analysis.binary import Decision
from ..errors import InputError
from .checkpoint import Trained
from .ensemble import Ensemble

USUAL = 0.5


def decision_of(cfg: DictConfig, trained: Trained | Ensemble) -> Decision | None:
    """Return what `threshold=` and `positive=` say; None where both are null.

    Raises:
        InputError: the network doesn't decide between two classes, or has no such class.
    """
    if cfg.threshold is None and cfg.positive is None:
        return None
    said = f"positive={cfg.positive}" if cfg.threshold is None else f"threshold={cfg.threshold}"
    names = trained.class_names
    if trained.multilabel:
        raise InputError(f"{said}: {trained.path} has a threshold for each of its labels; leave it out")
    if len(names) != 2:
        raise InputError(f"{said} is for two classes, and {trained.path} has {len(names):,}: leave it out")
    return Decision(_index(cfg.positive, names), USUAL if cfg.threshold is None else cfg.threshold)


def _index(positive: object, names: list[str]) -> int:
    """Return the index of the class; of None the last one, as in scikit-learn."""
    if positive is None:
        return 1
    if str(positive) not in names:
        raise InputError(f"positive={positive} is none of the classes: {' or '.join(names)}")
    return names.index(str(positive))
