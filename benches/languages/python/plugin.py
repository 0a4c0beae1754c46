"""Does what it is told with every batch; what it costs is compared with the same in Rust."""

from dataclasses import dataclass

from flow import Batch, Fatal, Info, Setup, component, forward, forward_all, rewrite


@dataclass
class Config:
    act: str


class Measured:
    info = Info("measured", "0.1.0", summary="does what it is told", schema={})

    def __init__(self, setup: Setup) -> None:
        self.act = setup.config(Config).act

    def process(self, batch: Batch) -> list:
        if self.act == "column":
            self.column = batch.texts("type")
            return [forward_all()]
        if self.act == "forward-each":
            return [forward(at) for at in range(len(batch))]
        if self.act == "rewrite-each":
            yes = {"seen": "yes"}
            return [rewrite(at, set=yes, data=b"new") for at in range(len(batch))]
        if self.act == "rewrite-data":
            return [rewrite(at, data=data[:8].upper() + data[8:]) for at, data in enumerate(batch.data_all())]
        raise Fatal(f"act: what is {self.act}?")


Lifecycle = component(Measured)
