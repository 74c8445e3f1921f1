"""`python -m src`, and `python -m reslens` where it is installed: the list of the verbs."""

from .command.console import main

main()
