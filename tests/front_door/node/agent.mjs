// Asks each of its models once, plain and streamed, as the command line says: openai, anthropic.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const messages = [{ role: "user", content: "Book a room for Monday." }];

async function openai() {
  const client = new OpenAI({ maxRetries: 0 });
  await client.chat.completions.create({ model: "gpt-4o", messages });
  const stream = await client.chat.completions.create({
    model: "gpt-4o", messages, stream: true, stream_options: { include_usage: true },
  });
  for await (const chunk of stream);
  await client.responses.create({ model: "gpt-4o", input: "Book a room for Monday." });
}

async function anthropic() {
  const client = new Anthropic({ maxRetries: 0 });
  await client.messages.create({ model: "claude-sonnet-4-5", max_tokens: 100, messages });
  const stream = await client.messages.create({
    model: "claude-sonnet-4-5", max_tokens: 100, messages, stream: true,
  });
  for await (const event of stream);
}

for (const name of process.argv.slice(2)) await { openai, anthropic }[name]();
