import instructor
import openai
from probing import HELLO, KEY, URL, same, tell
from pydantic import BaseModel, Field


class Place(BaseModel):
    """A place"""

    city: str = Field(pattern=r"^\w+$")


def made(mode):
    client = instructor.from_openai(openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY), mode=mode)
    found = client.chat.completions.create(model="m", messages=HELLO, response_model=Place, max_retries=0)
    same(found.city, "Wien")


MODES = {"JSON schema": instructor.Mode.JSON_SCHEMA, "JSON": instructor.Mode.JSON}
tell("instructor", {name: lambda mode=mode: made(mode) for name, mode in MODES.items()})
