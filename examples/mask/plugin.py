"""Masks values before events go on: fields of their JSON data, and attributes.

Keeps no state and makes one event of one, so it is fit as the POLICY of a flow, too. What it cannot read it does not
pass on: data that is no JSON becomes a dead letter (under a policy: is left out).
"""

import json
from dataclasses import dataclass, field

from flow import KEEP, Batch, Fatal, Info, Setup, component, dead_letter, forward, rewrite


@dataclass
class Config:
    fields: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    mask: str = "***"


_REQUIRED = ("id", "source", "specversion", "type")
_TYPED = ("datacontenttype", "dataschema", "time")


class Mask:
    info = Info(
        "mask", "0.1.0",
        summary="masks fields of the JSON data and attributes",
        schema={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "fields": {"type": "array", "items": {"type": "string"}, "description": "as customer.email"},
                "attributes": {"type": "array", "items": {"type": "string"}},
                "mask": {"type": "string", "default": "***"},
            },
        },
    )

    def __init__(self, setup: Setup) -> None:
        config = setup.config(Config)
        self.mask, self.attributes = config.mask, config.attributes
        self.paths = [path.split(".") for path in config.fields]
        for at, path in enumerate(self.paths):
            if "" in path:
                raise Fatal(f"fields[{at}]: has an empty name")
        for at, name in enumerate(config.attributes):
            if name in _REQUIRED + _TYPED:
                raise Fatal(f"attributes[{at}]: {name} cannot be masked")

    def process(self, batch: Batch) -> list:
        ids = batch.texts("id")
        present = [(name, batch.texts(name)) for name in self.attributes]
        data = batch.data_all() if self.paths else [None] * len(batch)
        actions = []
        for at, (id, octets) in enumerate(zip(ids, data)):
            try:
                changed = KEEP if octets is None else self.masked(octets)
            except (ValueError, RecursionError):
                actions.append(dead_letter(at, "the data is no JSON, so nothing in it can be masked"))
                continue
            set = {name: self.mask for name, column in present if column[at] is not None}
            if changed is KEEP and not set:
                actions.append(forward(at))
            elif id is None:
                actions.append(dead_letter(at, "no event: only an event can be masked"))
            else:
                actions.append(rewrite(at, set=set, data=changed))
        return actions

    def masked(self, octets: bytes):
        """The data with its fields masked; `KEEP` where none is there."""
        document = json.loads(octets, object_pairs_hook=once)
        found = [self.hide(document, path) for path in self.paths]
        if not any(found):
            return KEEP
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()

    def hide(self, value: object, path: list[str]) -> bool:
        """Whether something was hidden. A list stands for each of its items."""
        if isinstance(value, list):
            return any([self.hide(item, path) for item in value])
        if not isinstance(value, dict) or path[0] not in value:
            return False
        if len(path) > 1:
            return self.hide(value[path[0]], path[1:])
        value[path[0]] = self.mask
        return True


def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A name that is there twice means one thing here and may mean another to who reads the event."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


Lifecycle = component(Mask)
