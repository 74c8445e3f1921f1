"""The layers of the network with their parameters, as a table on screen and in train.log."""

import logging
from typing import Any

from lightning.pytorch.callbacks import ModelSummary
from lightning.pytorch.utilities.model_summary.model_summary import _format_summary_table

from ..logs import say_lines

log = logging.getLogger(__name__)


class LayersTable(ModelSummary):
    """Lightning's model summary, said as all else is; left to itself it goes to the log of a library."""

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]],
        total_parameters: int,
        trainable_parameters: int,
        model_size: float,
        total_training_modes: dict[str, int],
        total_flops: int,
        **summarize_kwargs: Any,  # noqa: ARG004  # the base class's
    ) -> None:
        said = _format_summary_table(
            total_parameters, trainable_parameters, model_size, total_training_modes, total_flops, *summary_data
        )
        say_lines(log, said)
