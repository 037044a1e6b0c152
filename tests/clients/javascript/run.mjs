// Talks to the server at ORCHESTRATOR_URL with the vendors' own clients, and prints one line of JSON for each thing
// that was tried: {"client", "what", "ok", "detail"}. The server answers "Hello there, you." and, to a request with
// tools that was not answered yet, with a call of weather for Wien.
import Anthropic from "@anthropic-ai/sdk";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, streamText, tool } from "ai";
import { Ollama } from "ollama";
import OpenAI from "openai";
import { z } from "zod";

const url = process.env.ORCHESTRATOR_URL;
const key = process.env.ORCHESTRATOR_KEY ?? "any";
const HELLO = [{ role: "user", content: "Hi" }];
const TEXT = "Hello there, you.";
const CITY = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const WEATHER = { name: "weather", description: "The weather somewhere", parameters: CITY };

function same(found, wanted) {
  const [left, right] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (left !== right) throw new Error(`${left} instead of ${right}`);
}

async function joined(parts, textOf) {
  let text = "";
  for await (const part of parts) text += textOf(part) ?? "";
  return text;
}

const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const ollama = new Ollama({ host: url, headers: { Authorization: `Bearer ${key}` } });
const vercel = createOpenAI({ baseURL: `${url}/v1`, apiKey: key });
const chatTools = [{ type: "function", function: WEATHER }];
const weather = tool({ description: "The weather somewhere", inputSchema: z.object({ city: z.string() }) });

const TRIED = {
  openai: {
    chat: async () => {
      const answer = await openai.chat.completions.create({ model: "m", messages: HELLO });
      same(answer.choices[0].message.content, TEXT);
    },
    "chat, streamed": async () => {
      const parts = await openai.chat.completions.create({ model: "m", messages: HELLO, stream: true });
      same(await joined(parts, (part) => part.choices[0]?.delta.content), TEXT);
    },
    "chat, tools": async () => {
      const answer = await openai.chat.completions.create({ model: "m", messages: HELLO, tools: chatTools });
      same(JSON.parse(answer.choices[0].message.tool_calls[0].function.arguments), { city: "Wien" });
    },
    responses: async () => {
      same((await openai.responses.create({ model: "m", input: "Hi" })).output_text, TEXT);
    },
    "responses, streamed": async () => {
      const stream = openai.responses.stream({ model: "m", input: "Hi" });
      same((await stream.finalResponse()).output_text, TEXT);
    },
    "responses, tools streamed": async () => {
      const tools = [{ type: "function", strict: true, ...WEATHER }];
      const stream = openai.responses.stream({ model: "m", input: "Hi", tools });
      same(JSON.parse((await stream.finalResponse()).output[0].arguments), { city: "Wien" });
    },
    models: async () => same((await openai.models.list()).data.at(-1).id, "orchestrator"),
    errors: async () => {
      const wrong = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
      const error = await wrong.chat.completions.create({ model: "m", messages: HELLO, temperature: -1 }).catch((e) => e);
      same([error.status, error.param], [400, "temperature"]);
    },
  },
  anthropic: {
    messages: async () => {
      const answer = await anthropic.messages.create({ model: "m", max_tokens: 50, messages: HELLO });
      same([answer.content[0].text, answer.stop_reason], [TEXT, "end_turn"]);
    },
    "messages, streamed": async () => {
      const stream = anthropic.messages.stream({ model: "m", max_tokens: 50, messages: HELLO });
      same(await stream.finalText(), TEXT);
    },
    "messages, tools streamed": async () => {
      const tools = [{ name: "weather", input_schema: CITY }];
      const stream = anthropic.messages.stream({ model: "m", max_tokens: 50, messages: HELLO, tools });
      const answer = await stream.finalMessage();
      same([answer.content[0].input, answer.stop_reason], [{ city: "Wien" }, "tool_use"]);
    },
    "count_tokens": async () => {
      const counted = await anthropic.messages.countTokens({ model: "m", messages: HELLO });
      same(counted.input_tokens > 0, true);
    },
  },
  ollama: {
    chat: async () => same((await ollama.chat({ model: "m", messages: HELLO })).message.content, TEXT),
    "chat, streamed": async () => {
      const parts = await ollama.chat({ model: "m", messages: HELLO, stream: true });
      same(await joined(parts, (part) => part.message.content), TEXT);
    },
    "chat, tools": async () => {
      const answer = await ollama.chat({ model: "m", messages: HELLO, tools: chatTools });
      same(answer.message.tool_calls[0].function.arguments, { city: "Wien" });
    },
    generate: async () => same((await ollama.generate({ model: "m", prompt: "Hi" })).response, TEXT),
    "list, show": async () => {
      same((await ollama.list()).models.at(-1).name, "orchestrator");
      same((await ollama.show({ model: "orchestrator" })).capabilities, ["completion"]);
    },
  },
  "ai (Vercel)": {
    "generateText (responses)": async () => {
      same((await generateText({ model: vercel("m"), prompt: "Hi", maxRetries: 0 })).text, TEXT);
    },
    "streamText (responses)": async () => {
      same(await joined(streamText({ model: vercel("m"), prompt: "Hi" }).textStream, (part) => part), TEXT);
    },
    "streamText (chat)": async () => {
      same(await joined(streamText({ model: vercel.chat("m"), prompt: "Hi" }).textStream, (part) => part), TEXT);
    },
    "tools (responses)": async () => {
      const answer = await generateText({ model: vercel("m"), prompt: "Hi", tools: { weather }, maxRetries: 0 });
      same(answer.toolCalls[0].input, { city: "Wien" });
    },
    "tools (chat)": async () => {
      const answer = await generateText({ model: vercel.chat("m"), prompt: "Hi", tools: { weather }, maxRetries: 0 });
      same(answer.toolCalls[0].input, { city: "Wien" });
    },
  },
};

for (const [client, things] of Object.entries(TRIED)) {
  for (const [what, run] of Object.entries(things)) {
    let [ok, detail] = [true, ""];
    try {
      await run();
    } catch (error) {
      [ok, detail] = [false, String(error?.message ?? error).slice(0, 300)];
    }
    console.log(JSON.stringify({ client, what, ok, detail }));
  }
}
