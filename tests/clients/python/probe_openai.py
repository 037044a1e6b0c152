import json

import openai
from probing import HELLO, KEY, TEXT, URL, WEATHER, same, tell

client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
chat, responses = client.chat.completions, client.responses
TOOLS = [{"type": "function", "function": WEATHER}]


def tools():
    (call,) = chat.create(model="m", messages=HELLO, tools=TOOLS).choices[0].message.tool_calls
    same(json.loads(call.function.arguments), {"city": "Wien"})


def response_tools():
    with responses.stream(
        model="m", input="Hi", tools=[{"type": "function", "strict": True, **WEATHER}]
    ) as stream:
        same(json.loads(stream.get_final_response().output[0].arguments), {"city": "Wien"})


def streamed():
    parts = chat.create(model="m", messages=HELLO, stream=True)
    same("".join(part.choices[0].delta.content or "" for part in parts), TEXT)


def response_streamed():
    with responses.stream(model="m", input="Hi") as stream:
        same(stream.get_final_response().output_text, TEXT)


tell(
    "openai",
    {
        "chat": lambda: same(chat.create(model="m", messages=HELLO).choices[0].message.content, TEXT),
        "chat, streamed": streamed,
        "chat, tools": tools,
        "responses": lambda: same(responses.create(model="m", input="Hi").output_text, TEXT),
        "responses, streamed": response_streamed,
        "responses, tools streamed": response_tools,
        "completions": lambda: same(client.completions.create(model="m", prompt="Hi").choices[0].text, TEXT),
        "models": lambda: same(client.models.list().data[-1].id, "orchestrator"),
    },
)
