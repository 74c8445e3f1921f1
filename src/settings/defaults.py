"""Where the configuration lies, and the defaults of a group that is also used from Python."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

PACKAGE = __package__.partition(".")[0]
"""`src` in the repository; `reslens` where it is installed, with `conf/` in it."""

CONF = next(folder / "conf" for folder in Path(__file__).parents[1:3] if (folder / "conf").is_dir())

BASE = "base"
"""The file of a group that its options build on; no option itself."""


@cache
def read_defaults(group: str) -> dict[str, Any]:
    """Return what conf/GROUP/base.yaml says, without what it leaves open (`???`); not to be changed."""
    content: dict[str, Any] = yaml.safe_load((CONF / group / f"{BASE}.yaml").read_text(encoding="utf-8"))
    return {key: value for key, value in content.items() if value != "???"}


EARLIER = {"decode": "fast", "resize": "crop", "range": "earlier", "color": "stored"}
"""What the group `data` of runs means, and the preprocessing of checkpoints, from before there was a choice."""

EARLIER_MODELS = {"mini_resnet_": {"width": 32}}
"""What the group `model` of runs means, from before there was a choice, by how the network's name begins."""
