"""Names of providers and finish reasons in the words of OpenTelemetry's GenAI conventions, and the provider of a host.

Source: open-telemetry/semantic-conventions-genai, ``gen_ai.provider.name`` and the schema of ``gen_ai.output.messages``
(read 2026-11). A provider without a name there has a short one in lower case; a finish reason is the provider's own word.
"""

from __future__ import annotations

from collections.abc import Mapping

PROVIDERS_BEFORE: Mapping[str, str] = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""Names that version 0.1 of this package gave to providers -> those that they have now."""


def current_provider(name: str) -> str:
    """The name that a provider has now, for one that may be of version 0.1."""
    return PROVIDERS_BEFORE.get(name, name)


_WORDS = {
    "stop": (
        "stop",
        "end_turn",
        "stop_sequence",
        "complete",
        "completed",
        "eos",
        "eos_token",
        "finish",
        "finished",
        "endoftext",
        "stop_criteria_met",
        "content_complete",
    ),
    "length": (
        "length",
        "max_tokens",
        "max_output_tokens",
        "max_length",
        "maximum_tokens",
        "model_length",
        "token_limit",
        "error_limit",
        "incomplete:max_output_tokens",
        "incomplete:max_tokens",
        "model_context_window_exceeded",
    ),
    "tool_call": ("tool_call", "tool_calls", "tool_use", "function_call", "requires_action"),
    "content_filter": (
        "content_filter",
        "content_filtered",
        "incomplete:content_filter",
        "guardrail_intervened",
        "refusal",
        "safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
        "model_armor",
        "image_safety",
        "image_prohibited_content",
        "image_recitation",
        "error_toxic",
        "sensitive",
    ),
    "error": (
        "error",
        "failed",
        "malformed_function_call",
        "malformed_tool_use",
        "malformed_model_output",
        "unexpected_tool_call",
        "too_many_tool_calls",
        "missing_thought_signature",
        "insufficient_system_resource",
        "network_error",
        "abort",
        "timeout",
        "time_limit",
    ),
}
_NORMAL = {word: normal for normal, words in _WORDS.items() for word in words}

_VERTEX_NUMBERS = {
    1: "stop",
    2: "max_tokens",
    3: "safety",
    4: "recitation",
    5: "other",
    6: "blocklist",
    7: "prohibited_content",
    8: "spii",
    9: "malformed_function_call",
}
"""``Candidate.FinishReason`` of Vertex AI's protobuf, which some transports write as numbers."""


def finish_reason(value: object) -> str | None:
    """Normalise a finish reason.

    Args:
        value: What the provider sent: a word, or Vertex AI's enum number.

    Returns:
        ``stop``, ``length``, ``tool_call``, ``content_filter``, ``error``, else the provider's own word in lower case;
        ``None`` where it sent none.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = _VERTEX_NUMBERS.get(value)
    if not isinstance(value, str) or not value:
        return None
    word = value.lower()
    if word.startswith("block:"):
        return "content_filter"
    return _NORMAL.get(word, word)


OLLAMA_PORT = 11434

COMPATIBLE = (
    ("openai.azure.com", "azure.ai.openai"),
    ("cognitiveservices.azure.com", "azure.ai.openai"),
    ("api.cognitive.microsoft.com", "azure.ai.openai"),
    ("models.ai.azure.com", "azure.ai.inference"),
    ("inference.ml.azure.com", "azure.ai.inference"),
    ("azuredatabricks.net", "databricks"),
    ("databricks.com", "databricks"),
    ("databricksapps.com", "databricks"),
    ("models.inference.ai.azure.com", "github"),
    ("models.github.ai", "github"),
    ("api.githubcopilot.com", "github"),
    ("api.openai.com", "openai"),
    ("groq.com", "groq"),
    ("x.ai", "x_ai"),
    ("deepseek.com", "deepseek"),
    ("openrouter.ai", "openrouter"),
    ("together.ai", "together"),
    ("together.xyz", "together"),
    ("perplexity.ai", "perplexity"),
    ("cerebras.ai", "cerebras"),
    ("crusoecloud.com", "crusoe"),
    ("fireworks.ai", "fireworks"),
    ("deepinfra.com", "deepinfra"),
    ("sambanova.ai", "sambanova"),
    ("nebius.com", "nebius"),
    ("nebius.ai", "nebius"),
    ("novita.ai", "novita"),
    ("hyperbolic.xyz", "hyperbolic"),
    ("moonshot.ai", "moonshot_ai"),
    ("moonshot.cn", "moonshot_ai"),
    ("z.ai", "zai"),
    ("bigmodel.cn", "zai"),
    ("minimax.io", "minimax"),
    ("minimax.chat", "minimax"),
    ("minimaxi.com", "minimax"),
    ("volces.com", "volcengine"),
    ("baidubce.com", "baidu"),
    ("siliconflow.cn", "siliconflow"),
    ("siliconflow.com", "siliconflow"),
    ("integrate.api.nvidia.com", "nvidia"),
    ("ai21.com", "ai21"),
    ("snowflakecomputing.com", "snowflake"),
    ("portkey.ai", "portkey"),
    ("ai-gateway.vercel.sh", "vercel"),
    ("upstage.ai", "upstage"),
    ("inceptionlabs.ai", "inception"),
    ("scaleway.ai", "scaleway"),
    ("ovh.net", "ovhcloud"),
    ("poe.com", "poe"),
    ("helicone.ai", "helicone"),
    ("litellm.ai", "litellm"),
    ("heroku.com", "heroku"),
    ("lambda.ai", "lambda"),
    ("friendli.ai", "friendli"),
    ("baseten.co", "baseten"),
    ("venice.ai", "venice"),
    ("aimlapi.com", "aimlapi"),
    ("xiaomimimo.com", "xiaomi"),
    ("pollinations.ai", "pollinations"),
    ("avian.io", "avian"),
    ("huggingface.co", "huggingface"),
    ("huggingface.cloud", "huggingface"),
    ("aleph-alpha.com", "alephalpha"),
    ("writer.com", "writer"),
    ("replicate.com", "replicate"),
    ("gateway.ai.cloudflare.com", "cloudflare"),
    ("api.cloudflare.com", "cloudflare"),
    ("aliyuncs.com", "alibaba"),
    ("ml.cloud.ibm.com", "ibm.watsonx.ai"),
)
"""Services that speak OpenAI's API, beside others or alone: suffix of a host -> provider."""


def provider_of(host: str, port: int | None, path: str, *, maker: str, hosts: Mapping[str, str]) -> str:
    """The provider of a request.

    Args:
        host: The URL's host, in lower case.
        port: The port that the URL names, if it names one.
        path: The URL's path.
        maker: Who made the API; that is the provider where the host is not known.
        hosts: Suffix of a host -> provider; the longest suffix wins.

    Returns:
        The provider as OpenTelemetry names it (``gen_ai.provider.name``), else a short name in lower case.
    """
    found = _by_service(host, path) or by_suffix(host, hosts)
    return found or ("ollama" if port == OLLAMA_PORT else maker)


def is_model_host(host: str, hosts: Mapping[str, str]) -> bool:
    """Tell whether a host (in lower case, without port) serves models, as far as it is known."""
    return (_by_service(host, "") or by_suffix(host, hosts)) is not None


def by_suffix(host: str, hosts: Mapping[str, str]) -> str | None:
    """The provider of the longest suffix of a host that is known; ``None`` where none is."""
    while "." in host:
        if host in hosts:
            return hosts[host]
        host = host.partition(".")[2]
    return None


def _by_service(host: str, path: str) -> str | None:
    """The provider of hosts whose names tell a region or an account beside the service."""
    if host.endswith("aiplatform.googleapis.com"):  # europe-west4-aiplatform.googleapis.com
        return "gcp.vertex_ai"
    if host.endswith("services.ai.azure.com"):  # Microsoft Foundry serves both of Azure's APIs
        return "azure.ai.openai" if "/openai/" in f"{path}/" else "azure.ai.inference"
    if host.endswith(("amazonaws.com", "amazonaws.com.cn")):
        for label in host.split("."):
            if label.startswith("bedrock"):
                return "aws.bedrock"
            if "sagemaker" in label:
                return "sagemaker"
    return None
