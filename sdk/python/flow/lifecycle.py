"""The way across the boundary: what the host calls, for any plugin."""

import json
from dataclasses import dataclass, field

from wit_world.exports import lifecycle as wit

from .batch import Batch
from .config import Setup
from .errors import Failure

_NO_CONFIG = {
    "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": False,
}


@dataclass
class Info:
    """What a type says about itself: 1:1, without configuration, naming every event."""

    name: str
    version: str
    summary: str = ""
    schema: dict = field(default_factory=lambda: _NO_CONFIG)
    many_inputs: bool = False
    many_outputs: bool = False
    unnamed_dropped: bool = False
    keyed: bool = False

    def to_host(self) -> wit.Info:
        cardinality = {False: wit.Cardinality.ONE, True: wit.Cardinality.MANY}
        return wit.Info(
            self.name, self.version, self.summary, cardinality[self.many_inputs], cardinality[self.many_outputs],
            json.dumps(self.schema), self.unnamed_dropped, json.dumps({"keyed": self.keyed}),
        )


def component(plugin: type) -> type:
    """What the host calls. Name the result `Lifecycle`, in the module that is made the component."""

    class Lifecycle:
        instance = None

        def describe(self) -> wit.Info:
            return plugin.info.to_host()

        def init(self, setup: wit.Setup) -> None:
            try:
                Lifecycle.instance = plugin(Setup(setup))
            except Failure as failure:
                raise failure.to_host() from None

        def process(self, batch) -> list:
            # Given back at once: the host lends so many only.
            with batch:
                try:
                    return Lifecycle.instance.process(Batch(batch))
                except Failure as failure:
                    raise failure.to_host() from None

        def pause(self) -> None:
            _call("pause")

        def resume(self) -> None:
            _call("resume")

        def destroy(self) -> None:
            _call("destroy")

    def _call(name: str) -> None:
        try:
            getattr(Lifecycle.instance, name, lambda: None)()
        except Failure as failure:
            raise failure.to_host() from None

    return Lifecycle
