"""The system's errors as ours, by their ``errno``."""

import errno
from typing import Final

from fe_mail.model.errors import NoSpace, Unavailable

__all__ = ["of_system"]

# Full, over the disk's quota, over the limit of the process, read-only.
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})


def of_system(number: int | None) -> Unavailable:
    """Temporary all of them: nothing was lost, and somebody can put it right."""
    return NoSpace() if number in _NO_SPACE else Unavailable()
