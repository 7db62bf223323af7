"""
What is known of a job's last run, as the note that its lease carries from process to process.

It tells when the job is due again. A date in the future proves that the clock was set back, so it
says nothing of when the job ran: then it is due.
"""

import json
import math

import attrs

__all__ = ["DONE", "RETRY_SECONDS", "JobRecord"]

DONE = "done"
RETRY_SECONDS = 60.0  # after the first failure, then twice as long each time
MAX_DOUBLINGS = 20


@attrs.frozen(kw_only=True)
class JobRecord:
    """``result`` is ``done`` or the name of an error; ``failures`` are those in a row."""

    began_at: float = 0.0
    ended_at: float = 0.0
    failures: int = 0
    result: str = ""

    @classmethod
    def read(cls, note: str) -> "JobRecord":
        """From a note; an empty one, or what is none, is that of a job that never ran."""
        try:
            fields = json.loads(note)
            return cls(
                began_at=_number(fields["began_at"]),
                ended_at=_number(fields["ended_at"]),
                failures=int(_number(fields["failures"])),
                result=str(fields["result"]),
            )
        except (ValueError, TypeError, KeyError):
            return cls()

    def write(self) -> str:
        """The note."""
        return json.dumps(attrs.asdict(self))

    def after(self, began_at: float, ended_at: float, result: str) -> "JobRecord":
        """With one more run."""
        failures = 0 if result == DONE else self.failures + 1
        return JobRecord(began_at=began_at, ended_at=ended_at, failures=failures, result=result)

    def wait_seconds(self, now: float, interval_seconds: float) -> float:
        """Until it is due: an interval after it began, or after its failure a growing pause."""
        pause, last = interval_seconds, self.began_at
        if self.failures:
            doubled = RETRY_SECONDS * 2 ** min(self.failures - 1, MAX_DOUBLINGS)
            pause, last = min(interval_seconds, doubled), self.ended_at
        since = now - last
        return pause - since if 0 <= since < pause else 0.0


def _number(value: object) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    return float(value)
