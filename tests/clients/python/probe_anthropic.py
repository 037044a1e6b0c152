import anthropic
from probing import CITY, HELLO, KEY, TEXT, URL, same, tell

messages = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0).messages
ASKED = {"model": "m", "max_tokens": 50, "messages": HELLO}


def streamed():
    with messages.stream(**ASKED) as stream:
        same(stream.get_final_text(), TEXT)


def tools():
    with messages.stream(**ASKED, tools=[{"name": "weather", "input_schema": CITY}]) as stream:
        same(stream.get_final_message().content[0].input, {"city": "Wien"})


tell(
    "anthropic",
    {
        "messages": lambda: same(messages.create(**ASKED).content[0].text, TEXT),
        "messages, streamed": streamed,
        "messages, tools streamed": tools,
        "count_tokens": lambda: same(messages.count_tokens(model="m", messages=HELLO).input_tokens > 0, True),
    },
)
