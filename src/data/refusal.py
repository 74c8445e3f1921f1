"""Why a file can't become a picture."""

from ..errors import InputError


class UnreadableImageError(InputError):
    """A file that cannot become a picture; `reason` is short enough for a table ("empty file", "truncated", …)."""

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason or message


def refuse(reason: str | None) -> None:
    """Raise `UnreadableImageError` if there is a reason."""
    if reason is not None:
        raise UnreadableImageError(reason)
