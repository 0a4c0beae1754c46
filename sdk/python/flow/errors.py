"""Why a call did not succeed, named by what the host shall do. Raise one; every other exception is a trap."""

from componentize_py_types import Err
from wit_world.imports import events as wit


class Failure(Exception):
    """One of the three below."""

    def to_host(self) -> Err:
        raise NotImplementedError


class Retry(Failure):
    """The same batch again, later."""

    def to_host(self) -> Err:
        return Err(wit.Error_Retry(str(self)))


class Reject(Failure):
    """This event can never work."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index

    def to_host(self) -> Err:
        return Err(wit.Error_Reject(wit.Refusal(self.index, str(self))))


class Fatal(Failure):
    """Stop the processor."""

    def to_host(self) -> Err:
        return Err(wit.Error_Fatal(str(self)))
