"""What every ``Offload`` promises; asynchronous, since one adapter uses threads."""

from typing import Any

from fe_mail.model.errors import NotFound
from fe_mail.ports import Offload

__all__ = ["OffloadContract"]


class OffloadContract:
    """A mixin for ``TestCase``; ``offload()`` gives the adapter under test."""

    def offload(self) -> Offload:
        """The adapter."""
        raise NotImplementedError("the subclass says which")

    async def test_result(self: Any) -> None:
        """What the work returns comes back, None and false values too."""
        offload = self.offload()
        for value in (7, None, b"", [1]):
            self.assertEqual(await offload(lambda value=value: value), value)

    async def test_error(self: Any) -> None:
        """What the work raises is raised where it was asked for; the next work runs."""
        offload = self.offload()

        def refuse() -> None:
            raise NotFound("There is no such thing.")

        with self.assertRaises(NotFound):
            await offload(refuse)
        self.assertEqual(await offload(lambda: 1), 1)

    async def test_many(self: Any) -> None:
        """Calls that wait at the same time all come back, each with its own result."""
        offload = self.offload()
        waiting: list[Any] = [offload(lambda n=n: n * n) for n in range(50)]
        self.assertEqual([await each for each in waiting], [n * n for n in range(50)])
