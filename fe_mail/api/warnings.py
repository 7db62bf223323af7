"""
What an answer says besides: that mail would lead nowhere.

``warnings`` is a list of sentences, there only if there is something to say. The reference has no
such field, and clients of the reference ignore it.
"""

from collections.abc import Iterable, Mapping

from fe_mail.api.call import Call
from fe_mail.model.sentence import Sentence

__all__ = ["with_warnings"]


def with_warnings(
    call: Call, shown: Mapping[str, object], sentences: Iterable[Sentence]
) -> dict[str, object]:
    """The object, and the warnings in the caller's language."""
    warnings = [call.api.translate(call.request, sentence) for sentence in sentences]
    return {**shown, "warnings": warnings} if warnings else dict(shown)
