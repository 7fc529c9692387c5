"""A loopback LLM server that keeps its own books, so that a test can hold a report against them to the token.

    with LedgerServer([Reply("hello", input_tokens=12, output_tokens=3)]) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none")
        ...
        assert server.ledger[0].input_tokens == 12

It speaks the OpenAI (chat, responses, embeddings), Anthropic, Google, Cohere, Ollama and Bedrock Converse wires (and
Mistral, Groq, DeepSeek, ... , which speak OpenAI's chat), plain and streamed.
"""

from ledger_server.books import Entry, Ledger
from ledger_server.reply import Asked, Fault, Numbers, Reply, ToolCall
from ledger_server.server import LedgerServer, Script

__all__ = ["Asked", "Entry", "Fault", "Ledger", "LedgerServer", "Numbers", "Reply", "Script", "ToolCall"]
