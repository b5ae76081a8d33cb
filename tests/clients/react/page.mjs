// A page with LangGraph's useStream, without a browser: it asks one question with the options of agent-chat-ui, and
// prints what it shows, a line of JSON for each change.
//
//     node page.mjs URL ASSISTANT MODULE      MODULE exports parts(stream), as docs/studio.md has it

import { useStream } from "@langchain/langgraph-sdk/react";
import { createElement, useEffect } from "react";
import { create } from "react-test-renderer";

const [apiUrl, assistantId, module] = process.argv.slice(2);
const { parts } = await import(module);
const question = { id: "question", type: "human", content: "What is 6 times 7?" };
const options = { streamMode: ["values"], streamSubgraphs: true, streamResumable: true };
const optimisticValues = (before) => ({ ...before, messages: [...(before.messages ?? []), question] });
const callerOptions = { fetch: async (...request) => paced(await fetch(...request)) };
let printed = "";
let started = false;

// The lines of a stream may arrive together: let the page render after each, so that it shows every state.
function paced(response) {
  const lines = new TransformStream({
    async transform(text, controller) {
      for (const line of text.split(/(?<=\n)/)) {
        controller.enqueue(line);
        for (let round = 0; round < 4; round++) await new Promise(setImmediate);
      }
    },
  });
  const text = response.body?.pipeThrough(new TextDecoderStream()).pipeThrough(lines);
  return new Response(text?.pipeThrough(new TextEncoderStream()), response);
}

function Page() {
  const stream = useStream({ apiUrl, assistantId, messagesKey: "messages", callerOptions });
  useEffect(() => {
    stream.submit({ messages: [question] }, { ...options, optimisticValues });
  }, []);
  const { messages, reasoning } = parts(stream);
  const shown = JSON.stringify({ messages: messages.map((one) => one.content), reasoning: reasoning?.title });
  if (shown !== printed && stream.isLoading) console.log((printed = shown));
  if (started && !stream.isLoading) {
    if (stream.error) console.log(`stream.error: ${stream.error.message}`);
    process.exit(stream.error ? 1 : 0);
  }
  started ||= stream.isLoading;
  return null;
}

create(createElement(Page));
