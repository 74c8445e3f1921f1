"""Quotes of Hydra's grammar, in which any text means itself."""

import re


def quote(text: str) -> str:
    """Put text into Hydra's single quotes; a backslash escapes a quote, and itself before one or at the end."""
    escaped = re.sub(r"(\\*)'", lambda match: match[1] * 2 + r"\'", text)
    trailing = escaped[len(escaped.rstrip("\\")) :]
    return f"'{escaped}{trailing}'"
