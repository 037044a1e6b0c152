import ollama
from probing import CITY, HELLO, KEY, TEXT, URL, WEATHER, same, tell

client = ollama.Client(host=URL, headers={"Authorization": f"Bearer {KEY}"})


def streamed():
    parts = client.chat(model="m", messages=HELLO, stream=True)
    same("".join(part.message.content for part in parts), TEXT)


def tools():
    answer = client.chat(model="m", messages=HELLO, tools=[{"type": "function", "function": WEATHER}])
    same(answer.message.tool_calls[0].function.arguments, {"city": "Wien"})


tell(
    "ollama",
    {
        "chat": lambda: same(client.chat(model="m", messages=HELLO).message.content, TEXT),
        "chat, streamed": streamed,
        "chat, tools": tools,
        "chat, format": lambda: same(
            client.chat(model="m", messages=HELLO, format=CITY).message.content, '{"city": "Wien"}'
        ),
        "generate": lambda: same(client.generate(model="m", prompt="Hi").response, TEXT),
        "list": lambda: same(client.list().models[-1].model, "orchestrator"),
    },
)
