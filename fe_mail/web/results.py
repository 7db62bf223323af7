"""
What a page answers, as values: a page, a redirect, a file.

The same result serves a browser and a script (``Accept: application/json``): a script gets
``redirectTo``, ``reloadPage``, ``table`` or ``message`` where a browser gets a page.
"""

from collections.abc import Mapping

import attrs

from fe_mail.model.errors import MailError

__all__ = ["Page", "Plain", "Redirect", "Result"]


@attrs.frozen
class Page:
    """
    A template with its values.

    ``error`` is shown on the page and decides the status. ``script`` is what a script gets
    instead; ``part`` is the template of a piece of the page that it gets as ``{"table": html}``.
    ``path`` is where a GET shows the same, if not at the address of the request.
    """

    template: str
    values: Mapping[str, object] = attrs.field(factory=dict)
    error: MailError | None = None
    status: int = 200
    script: Mapping[str, object] | None = None
    part: str = ""
    path: str = ""


@attrs.frozen
class Redirect:
    """
    Go to ``path`` (without its language prefix) and say ``notice`` there.

    A script hears ``reloadPage`` instead of the target when ``is_reload``.
    """

    path: str
    notice: str = ""
    about: str = ""
    is_reload: bool = False


@attrs.frozen
class Plain:
    """Octets with a type, the same in every language."""

    body: bytes
    content_type: str
    max_age_seconds: int = 0


Result = Page | Redirect | Plain
