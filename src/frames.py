"""pandas, with strings as Python has them.

Where pyarrow is installed, which Streamlit brings, pandas keeps strings in its arrays, and these can't hold the name of
a file that is not UTF-8.
"""

import pandas as pd

pd.set_option("mode.string_storage", "python")

__all__ = ["pd"]
