"""`python -m src.adopt`: a network that others have trained as a checkpoint of ours, which all verbs take."""

import logging
import shlex
import sys
from typing import TYPE_CHECKING, Any

from .activity import show
from .command.main import checked, main
from .command.next_steps import say_next

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


@checked
def adopt(cfg: "DictConfig") -> dict[str, Any]:
    """Adopt as the composed configuration says; return what adopt.json holds.

    Raises:
        InputError: A setting is wrong, or the file doesn't hold all of the network; nothing has been written.
    """
    from .adopting.adoption import adopt_network, write_adopted  # torch, only now
    from .runs.folder import ADOPTED
    from .runs.output import filled, output_folder, write_record

    show("adopting")
    adopted = adopt_network(cfg)
    output = output_folder(cfg.output, None, "adopt")
    with filled(output, "adopt") as folder:
        write_adopted(adopted, folder)
        write_record(folder, "adopt", {"command": shlex.join(sys.orig_argv), **adopted.record})
    log.info("checkpoint   %s", output / ADOPTED)
    say_next("adopt", folder=str(output))
    return adopted.record


if __name__ == "__main__":
    main("adopt", adopt)
