"""The floor: aiohttp and a JSON library, nothing kept. What a client written by hand for this one server costs."""

import asyncio

import aiohttp
import task

try:
    import orjson as json
except ImportError:
    import json


async def main() -> None:
    given = task.given()
    connector = aiohttp.TCPConnector(limit=given.concurrent)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer bench"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def one(text: str) -> str:
            sent = json.dumps(task.body(text))
            async with session.post(f"{given.url}/chat/completions", data=sent) as response:
                plain = json.loads(await response.read())
            return plain["choices"][0]["message"]["content"]

        task.tell(*await task.send_all(given.texts(), given.concurrent, one))


asyncio.run(main())
