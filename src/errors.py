"""The two ways in which a command ends early without being a bug of ours.

Both are shown as one line on stderr, without a traceback (`src.cli` does it; `HYDRA_FULL_ERROR=1` brings it back).
"""


class InputError(ValueError):
    """Something the user can put right. The message names the value and the remedy in one line. Exit code 2."""


class RunError(RuntimeError):
    """A run that began well and cannot go on. The message says what happened and what to try. Exit code 1."""
