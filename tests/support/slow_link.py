"""A TCP link through which everything arrives late, evenly or in bursts, as over a phone's network."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from typing import Self


class SlowLink:
    """Passes connections on to a port of loopback.

    Args:
        delay_s: of everything, each way.
        jitter_s: at most so much more, drawn anew for each piece; the order stays.
    """

    def __init__(self, port: int, delay_s: float, jitter_s: float = 0.0) -> None:
        self._target = port
        self.delay_s = delay_s
        self.jitter_s = jitter_s
        self._dice = random.Random(0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="slow-link", daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the loop's next turn

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._pass_on(reader, back), self._pass_on(there, writer))

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        reading = asyncio.ensure_future(self._read(source, late))
        try:
            with contextlib.suppress(OSError):
                while True:
                    due, data = await late.get()
                    await asyncio.sleep(max(0.0, due - self._loop.time()))
                    if not data:
                        break
                    target.write(data)
                    await target.drain()
        finally:
            target.close()
            reading.cancel()

    async def _read(self, source: asyncio.StreamReader, late: asyncio.Queue[tuple[float, bytes]]) -> None:
        data = b"-"
        while data:
            try:
                data = await source.read(65536)
            except OSError:
                data = b""
            extra = self._dice.uniform(0, self.jitter_s)
            await late.put((self._loop.time() + self.delay_s + extra, data))
