from langchain_anthropic import ChatAnthropic
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from probing import CITY, KEY, TEXT, URL, same, tell

openai = ChatOpenAI(model="m", base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
anthropic = ChatAnthropic(model="m", base_url=URL, api_key=KEY, max_retries=0, max_tokens=50)
ollama = ChatOllama(model="m", base_url=URL, client_kwargs={"headers": {"Authorization": f"Bearer {KEY}"}})
SCHEMA = {"title": "weather", "description": "The weather somewhere", **CITY}


def called(model):
    same(model.bind_tools([SCHEMA]).invoke("Hi").tool_calls[0]["args"], {"city": "Wien"})


def streamed(model):
    same("".join(part.text for part in model.stream("Hi")), TEXT)


tell(
    "LangChain",
    {
        f"{name}, {what}": lambda model=model, run=run: run(model)
        for name, model in {"OpenAI": openai, "Anthropic": anthropic, "Ollama": ollama}.items()
        for what, run in {
            "invoke": lambda model: same(model.invoke("Hi").text, TEXT),
            "stream": streamed,
            "tools": called,
        }.items()
    },
)
