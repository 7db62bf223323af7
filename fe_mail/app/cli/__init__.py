"""
``fe-mail``: the operator's command line, on the stores directly, also while the server runs.

One module per area has its commands, each as a value with its arguments beside what it does;
``program`` makes the parser of them. Exit codes are in ``program``.
"""

from fe_mail.app.cli.program import main

__all__ = ["main"]
