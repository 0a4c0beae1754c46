"""Passes on the events whose type begins with a prefix, and counts them."""

from dataclasses import dataclass

from flow import Batch, Info, Setup, component, forward, log, state


@dataclass
class Config:
    prefix: str = ""


class MyPlugin:
    info = Info(
        "my-plugin", "0.1.0",
        summary="passes on the events whose type begins with a prefix",
        schema={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "additionalProperties": False,
            "properties": {"prefix": {"type": "string", "default": ""}},
        },
        unnamed_dropped=True,
    )

    def __init__(self, setup: Setup) -> None:
        self.prefix = setup.config(Config).prefix
        log.info("ready", prefix=self.prefix)

    def process(self, batch: Batch) -> list:
        # A column: one call for the whole batch.
        kinds = enumerate(batch.texts("type"))
        actions = [forward(at) for at, kind in kinds if kind is not None and kind.startswith(self.prefix)]
        seen = int.from_bytes(state.get(b"seen") or b"", "big") + len(actions)
        state.set(b"seen", seen.to_bytes(8, "big"))
        return actions


Lifecycle = component(MyPlugin)
