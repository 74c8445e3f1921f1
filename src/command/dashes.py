"""Words with dashes: Hydra's own flags, and settings as other tools take them, such as `--lr 0.1`."""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import NoReturn

from ..errors import InputError
from ..settings.refusals import explain_dashes


def refuse_dashes(verb: str, parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Raise `InputError` for the first word with a dash that is no flag, and let the parser do so for what follows."""
    flags = [flag for action in parser._actions for flag in action.option_strings]
    for word in argv:
        name = word.partition("=")[0]
        known = name in flags or (name[:2] == "--" and any(flag.startswith(name) for flag in flags))
        if word[:1] == "-" and len(word) > 1 and not known:
            raise InputError(explain_dashes(verb, word, argv))

    def refuse(message: str) -> NoReturn:
        raise InputError(f"{message}; --hydra-help lists all flags")

    parser.error = refuse  # type: ignore[method-assign]  # it would print how to use Hydra, in ten lines
