"""The script that Streamlit runs for every visitor, and again after everything that he or she does.

Streamlit gives it no package, hence no relative imports: it asks the server in this process, under whatever name that
was imported (`src` or `reslens`).
"""

import sys

modules = [module for name, module in sys.modules.copy().items() if name.endswith(".page.server")]
next((module for module in modules if module.is_ready()), modules[0]).draw_page()
