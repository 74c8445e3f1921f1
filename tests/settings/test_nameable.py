"""The table of what a configuration may name says what the classes take."""

import inspect

from hydra.utils import get_class

from src.settings.nameable import CALLBACKS, LOGGERS, SWEEPERS


def test_the_list_of_what_may_be_named_is_true() -> None:
    """Every class exists and takes what its row says, and what README and our own files name is in the list."""
    for target, row in {**CALLBACKS, **LOGGERS, **SWEEPERS}.items():
        kind = get_class(target)
        parameters = inspect.signature(kind.__init__).parameters
        open_ended = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values())
        unknown = (row.takes | row.by_hand) - {"_target_", *parameters}
        assert not unknown or (open_ended and row.by_hand), f"{target} does not take {unknown}"
        paths = {"dirpath", "filename", "save_dir", "dir", "sub_dir", "root_dir", "exclude_batches_path"}
        assert not row.takes & paths
        if not row.by_hand:
            assert not row.takes & {"name", "version", "prefix"}
