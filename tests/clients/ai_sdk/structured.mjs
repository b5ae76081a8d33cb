// The AI SDK's ways to ask for an object, each with all its ways to reach a server. Usage: node structured.mjs URL
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, Output, streamObject } from "ai";
import { z } from "zod";

const server = { baseURL: process.argv[2], apiKey: "any" };
const openai = createOpenAI(server);
const compatible = createOpenAICompatible({ ...server, name: "llamaberry", supportsStructuredOutputs: true });
const schema = z.object({ number: z.number().int() });

async function lastPart(stream) {
  let last;
  for await (const part of stream) last = part;
  return last;
}

for (const provider of [openai.responses, openai.chat, compatible]) {
  const options = { model: provider("llamaberry-quick"), prompt: "What is 6 times 7?", maxRetries: 0 };
  const results = [
    (await generateObject({ ...options, schema })).object,
    await lastPart(streamObject({ ...options, schema }).partialObjectStream),
    (await generateText({ ...options, output: Output.object({ schema }) })).output,
  ];
  results.forEach((result) => console.log(JSON.stringify(result)));
}
