"""Where does Faust get our consumer from?"""

from typing import Any

from faust.transport.drivers.aiokafka import Transport
from faust.types import AppT
from faust.types.transports import ConsumerCallback
from typing_extensions import override
from yarl import URL

from streams.engine.consumer import SliceConsumer
from streams.engine.wiring import Engine


class SliceTransport(Transport):
    """Faust's aiokafka transport with the slice consumer in it."""

    def __init__(self, urls: list[URL], app: AppT, *, engine: Engine) -> None:
        """Take what Faust passes, and the engine."""
        super().__init__(urls, app)
        self._engine = engine

    @override
    def create_consumer(self, callback: ConsumerCallback, **kwargs: Any) -> SliceConsumer:
        """Create the consumer; Faust calls it once, while it starts."""
        return SliceConsumer(self, callback=callback, loop=self.loop, engine=self._engine, **kwargs)
