"""OpenAI's own client in a loop: its typed `create` or its low-level `post`, on its default transport or on aiohttp.

The fifth word of the command line says which: `create`, `create-aiohttp`, `post-aiohttp`.
"""

import asyncio
import json
import sys

import openai
import task


async def main() -> None:
    given, way = task.given(), sys.argv[5]
    limits = openai.DEFAULT_CONNECTION_LIMITS
    http = openai.DefaultAioHttpClient(limits=limits) if way.endswith("aiohttp") else None
    async with openai.AsyncOpenAI(api_key="bench", base_url=given.url, max_retries=0, http_client=http) as client:

        async def post(text: str) -> str:
            raw = await client.post("/chat/completions", cast_to=bytes, body=task.body(text))
            return json.loads(raw)["choices"][0]["message"]["content"]

        async def create(text: str) -> str:
            made = await client.chat.completions.create(**task.body(text))
            return made.choices[0].message.content or ""

        one = post if way.startswith("post") else create
        task.tell(*await task.send_all(given.texts(), given.concurrent, one))


asyncio.run(main())
