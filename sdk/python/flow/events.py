"""Events as Python has them: attributes as `bool`, `int`, `str`, `bytes`, `Uri`, `UriReference` and `Timestamp`."""

import json
from dataclasses import dataclass, field
from typing import Optional, Union

from wit_world.imports import events as wit


class Uri(str):
    """An absolute URI."""


class UriReference(str):
    """A URI or a relative reference."""


class Timestamp(str):
    """RFC 3339, as it was written."""


Value = Union[bool, int, str, bytes, Uri, UriReference, Timestamp]

_CASES = {
    bool: wit.Value_Boolean, int: wit.Value_Integer, str: wit.Value_Text, bytes: wit.Value_Binary, Uri: wit.Value_Uri,
    UriReference: wit.Value_UriReference, Timestamp: wit.Value_Timestamp,
}
_TYPES = {
    wit.Value_Uri: Uri, wit.Value_UriReference: UriReference, wit.Value_Timestamp: Timestamp,
}


def to_host(value: Value) -> wit.Value:
    """A value with its CloudEvents type."""
    case = _CASES.get(type(value))
    if case is None:
        raise TypeError(f"an attribute is no {type(value).__name__}")
    return case(value)


def from_host(value: Optional[wit.Value]) -> Optional[Value]:
    """A value as Python has it."""
    if value is None:
        return None
    kind = _TYPES.get(type(value))
    return value.value if kind is None else kind(value.value)


def attributes_to_host(attributes: dict) -> list:
    return [wit.Attribute(name, to_host(value)) for name, value in attributes.items()]


@dataclass
class Event:
    """A CloudEvent. `data` that is `None` is absent, which is not empty."""

    attributes: dict[str, Value] = field(default_factory=dict)
    data: Optional[bytes] = None

    @classmethod
    def new(cls, id: str, source: str, type: str, **attributes: Value) -> "Event":
        """An event with the four required attributes, and more."""
        required = {"specversion": "1.0", "id": id, "source": UriReference(source), "type": type}
        return cls({**required, **attributes})

    def with_json(self, value: object) -> "Event":
        """The same with JSON data."""
        data = json.dumps(value, separators=(",", ":")).encode()
        return Event({**self.attributes, "datacontenttype": "application/json"}, data)

    def json(self) -> object:
        """The data read as JSON."""
        return json.loads(self.data or b"")

    def to_host(self) -> wit.Event:
        return wit.Event(attributes_to_host(self.attributes), self.data)
