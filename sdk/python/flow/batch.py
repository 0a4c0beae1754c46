"""A batch in a plugin's hands: a handle to what lies in the host."""

import json
from typing import Optional

from .events import Event, Value, from_host


class Batch:
    """One contiguous piece of one partition of one input. An index that is not below `len(batch)` ends the call.

    What is not asked for is never copied. `texts`, `attributes`, `data_all` and `sizes` are columns: one call each.
    """

    def __init__(self, handle) -> None:
        self._handle = handle
        self._len = handle.len()

    def __len__(self) -> int:
        return self._len

    @property
    def input(self) -> int:
        """The input, counted from 0."""
        return self._handle.input()

    @property
    def flow(self) -> str:
        """The name of that input's flow."""
        return self._handle.flow()

    @property
    def partition(self) -> int:
        return self._handle.partition()

    def texts(self, name: str) -> list[Optional[str]]:
        """An attribute of every event as text."""
        return [None if value is None else _text(value.value) for value in self._handle.attributes(name)]

    def attributes(self, name: str) -> list[Optional[Value]]:
        """An attribute of every event."""
        return [from_host(value) for value in self._handle.attributes(name)]

    def data_all(self) -> list[Optional[bytes]]:
        """The data of every event; of a record that is no CloudEvent, its value."""
        return self._handle.data_all()

    def sizes(self) -> list[Optional[int]]:
        """How many bytes of data every event has."""
        return self._handle.data_sizes()

    def is_event(self, index: int) -> bool:
        """Whether the record is a CloudEvent."""
        return self._handle.is_event(index)

    def attribute(self, index: int, name: str) -> Optional[Value]:
        """An attribute of one event."""
        return from_host(self._handle.attribute(index, name))

    def key(self, index: int) -> Optional[bytes]:
        """The record's key."""
        return self._handle.key(index)

    def data(self, index: int) -> Optional[bytes]:
        """The data of one event."""
        return self._handle.data(index)

    def json(self, index: int) -> object:
        """The data of one event read as JSON; `ValueError` where it is none."""
        return json.loads(self._handle.data(index) or b"")

    def timestamp(self, index: int) -> int:
        """Milliseconds since 1970 UTC that the broker keeps beside the record."""
        return self._handle.timestamp(index)

    def headers(self, index: int) -> list[tuple[str, Optional[bytes]]]:
        """The record's headers."""
        return [(header.name, header.value) for header in self._handle.headers(index)]

    def event(self, index: int) -> Optional[Event]:
        """The whole event; `None` where the record is no CloudEvent."""
        event = self._handle.event(index)
        if event is None:
            return None
        return Event({attribute.name: from_host(attribute.value) for attribute in event.attributes}, event.data)


def _text(value: object) -> str:
    if type(value) is str:
        return value
    if value is True or value is False:
        return "true" if value else "false"
    return value.hex() if isinstance(value, bytes) else str(value)
