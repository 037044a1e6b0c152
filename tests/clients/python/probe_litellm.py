import json

import litellm
from probing import HELLO, KEY, TEXT, URL, WEATHER, same, tell

ROUTES = {
    "OpenAI": {"model": "openai/m", "api_base": f"{URL}/v1", "api_key": KEY},
    "Anthropic": {"model": "anthropic/m", "api_base": URL, "api_key": KEY},
    "Ollama": {"model": "ollama_chat/m", "api_base": URL, "api_key": KEY},
}


def plain(route):
    same(litellm.completion(messages=HELLO, **route).choices[0].message.content, TEXT)


def streamed(route):
    parts = litellm.completion(messages=HELLO, stream=True, **route)
    same("".join(part.choices[0].delta.content or "" for part in parts), TEXT)


def called(route):
    answer = litellm.completion(messages=HELLO, tools=[{"type": "function", "function": WEATHER}], **route)
    same(json.loads(answer.choices[0].message.tool_calls[0].function.arguments), {"city": "Wien"})


tell(
    "LiteLLM",
    {
        f"{name}, {what}": lambda route=route, run=run: run(route)
        for name, route in ROUTES.items()
        for what, run in {"completion": plain, "stream": streamed, "tools": called}.items()
    },
)
