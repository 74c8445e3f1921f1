"""What all figures share."""

import time

from src.figures import style


def test_a_name_of_a_hundred_thousand_letters_is_fitted_at_once() -> None:
    start = time.process_time()
    for text in ("x" * 100_000, "x y_" * 25_000, "i" * 50_000 + "W" * 50_000):
        assert "…" in style.fit(text, 200, lines=3)
    assert time.process_time() - start < 10  # it was hours
