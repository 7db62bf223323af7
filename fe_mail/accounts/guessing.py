"""
How easily a password is guessed, and the advice for a better one.

zxcvbn judges in up to 30 ms of pure Python, and its tables cost 50 ms and 5 MB when they are first
needed; so it is imported late, and ``judge`` belongs into a thread. It keeps the context words in
a dictionary that all calls share, hence the lock. Its sentences are ours here, so that they can
be translated; one that we do not know is left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from types import MappingProxyType

from fe_mail.model.sentence import Paragraph, Sentence

__all__ = ["ADVICE", "JUDGED_LENGTH", "MIN_SCORE", "judge"]

MIN_SCORE = 3  # of zxcvbn's 0..4
JUDGED_LENGTH = 32  # zxcvbn takes up to 30 ms for it, and much longer for more

_lock = Lock()

_SENTENCES = (
    Sentence("Use a few words, avoid common phrases."),
    Sentence("No need for symbols, digits, or uppercase letters."),
    Sentence("Add another word or two. Uncommon words are better."),
    Sentence("Straight rows of keys are easy to guess."),
    Sentence("Short keyboard patterns are easy to guess."),
    Sentence("Use a longer keyboard pattern with more turns."),
    Sentence('Repeats like "aaa" are easy to guess.'),
    Sentence('Repeats like "abcabcabc" are only slightly harder to guess than "abc".'),
    Sentence("Avoid repeated words and characters."),
    Sentence('Sequences like "abc" or "6543" are easy to guess.'),
    Sentence("Avoid sequences."),
    Sentence("Recent years are easy to guess."),
    Sentence("Avoid recent years."),
    Sentence("Avoid years that are associated with you."),
    Sentence("Dates are often easy to guess."),
    Sentence("Avoid dates and years that are associated with you."),
    Sentence("This is a top-10 common password."),
    Sentence("This is a top-100 common password."),
    Sentence("This is a very common password."),
    Sentence("This is similar to a commonly used password."),
    Sentence("A word by itself is easy to guess."),
    Sentence("Names and surnames by themselves are easy to guess."),
    Sentence("Common names and surnames are easy to guess."),
    Sentence("Capitalization doesn't help very much."),
    Sentence("All-uppercase is almost as easy to guess as all-lowercase."),
    Sentence("Reversed words aren't much harder to guess."),
    Sentence("Predictable substitutions like '@' instead of 'a' don't help very much."),
)
ADVICE: Mapping[str, Sentence] = MappingProxyType({each.template: each for each in _SENTENCES})


def judge(password: str, context: Sequence[str]) -> Paragraph | None:
    """What is wrong with a password that is too easy to guess; None when it is good."""
    from zxcvbn import zxcvbn  # late: see above

    words = [word[:JUDGED_LENGTH] for word in context if word]
    with _lock:
        verdict = zxcvbn(password[:JUDGED_LENGTH], user_inputs=words)
    if verdict["score"] >= MIN_SCORE:
        return None
    feedback = verdict["feedback"]
    return Paragraph(
        (
            Sentence("The password is too easy to guess."),
            *_known([feedback["warning"], *feedback["suggestions"]]),
        )
    )


def _known(texts: Iterable[object]) -> tuple[Sentence, ...]:
    return tuple(ADVICE[str(text)] for text in texts if str(text) in ADVICE)
