"""``python -m fe_mail.app.cli``."""

from fe_mail.app.cli.program import main

main()
