from llama_index.llms.ollama import Ollama
from llama_index.llms.openai_like import OpenAILike
from probing import KEY, TEXT, URL, same, tell

openai = OpenAILike(model="m", api_base=f"{URL}/v1", api_key=KEY, is_chat_model=True, max_retries=0)
ollama = Ollama(model="scripted", base_url=URL)  # as /api/tags names it: it asks /api/show first


def streamed(model):
    same("".join(part.delta or "" for part in model.stream_complete("Hi")), TEXT)


tell(
    "LlamaIndex",
    {
        "OpenAILike": lambda: same(openai.complete("Hi").text, TEXT),
        "OpenAILike, stream": lambda: streamed(openai),
        "Ollama": lambda: same(ollama.complete("Hi").text, TEXT),
        "Ollama, stream": lambda: streamed(ollama),
    },
)
