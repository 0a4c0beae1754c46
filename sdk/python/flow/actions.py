"""What becomes of events. Events and outputs are counted from 0; actions take effect in order."""

from typing import Optional

from wit_world.imports import events as wit

from .events import Event, attributes_to_host

KEEP = wit.DataChange_Keep()
"""`data` of a rewrite that leaves it as it is."""

_REMOVE = wit.DataChange_Remove()


def forward(index: int, output: int = 0) -> wit.Action:
    """The event, byte for byte."""
    return wit.Action_Forward(wit.Forward(index, output))


def forward_all(output: int = 0) -> wit.Action:
    """The whole batch, byte for byte."""
    return wit.Action_ForwardAll(output)


def drop(index: int) -> wit.Action:
    """The event goes nowhere."""
    return wit.Action_Drop(index)


def dead_letter(index: int, reason: str) -> wit.Action:
    """The event goes to the processor's dead letters."""
    return wit.Action_DeadLetter(wit.Refusal(index, reason))


def rewrite(index: int, output: int = 0, *, set: dict = {}, unset: list[str] = [], data=KEEP) -> wit.Action:
    """The event, changed: attributes set and taken away, data replaced by `bytes` or taken away by `None`.

    Setting `partitionkey` gives the record that key, and its partition.
    """
    if data is None:
        data = _REMOVE
    elif data is not KEEP:
        data = wit.DataChange_Replace(data)
    return wit.Action_Rewrite(wit.Rewrite(index, output, attributes_to_host(set), unset, data))


def emit(event: Event, output: int = 0, *, key: Optional[bytes] = None) -> wit.Action:
    """A new event. Its key is its attribute `partitionkey`; without one it stays in the partition."""
    return wit.Action_Emit(wit.Emit(output, key, event.to_host()))
