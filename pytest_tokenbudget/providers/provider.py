"""Who answered: by the host where it is known, else by the dialect that was spoken."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import SplitResult

_HOSTS: tuple[tuple[str, str], ...] = (
    ("openai.azure.com", "azure"),
    ("services.ai.azure.com", "azure"),
    ("cognitiveservices.azure.com", "azure"),
    ("api.cognitive.microsoft.com", "azure"),
    ("models.ai.azure.com", "azure"),
    ("inference.ml.azure.com", "azure"),
    ("azuredatabricks.net", "databricks"),
    ("databricks.com", "databricks"),
    ("databricksapps.com", "databricks"),
    ("models.inference.ai.azure.com", "github"),
    ("models.github.ai", "github"),
    ("api.githubcopilot.com", "github"),
    ("gateway.ai.cloudflare.com", "cloudflare"),
    ("api.cloudflare.com", "cloudflare"),
    ("api.openai.com", "openai"),
    ("anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "google"),
    ("aiplatform.googleapis.com", "vertex"),
    ("api.aws", "bedrock"),
    ("mistral.ai", "mistral"),
    ("cohere.ai", "cohere"),
    ("cohere.com", "cohere"),
    ("groq.com", "groq"),
    ("x.ai", "xai"),
    ("deepseek.com", "deepseek"),
    ("openrouter.ai", "openrouter"),
    ("together.ai", "together"),
    ("together.xyz", "together"),
    ("huggingface.co", "huggingface"),
    ("huggingface.cloud", "huggingface"),
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
    ("moonshot.ai", "moonshot"),
    ("moonshot.cn", "moonshot"),
    ("z.ai", "zai"),
    ("bigmodel.cn", "zai"),
    ("minimax.io", "minimax"),
    ("minimax.chat", "minimax"),
    ("minimaxi.com", "minimax"),
    ("aliyuncs.com", "alibaba"),
    ("volces.com", "volcengine"),
    ("baidubce.com", "baidu"),
    ("siliconflow.cn", "siliconflow"),
    ("siliconflow.com", "siliconflow"),
    ("integrate.api.nvidia.com", "nvidia"),
    ("ai21.com", "ai21"),
    ("aleph-alpha.com", "alephalpha"),
    ("writer.com", "writer"),
    ("replicate.com", "replicate"),
    ("voyageai.com", "voyage"),
    ("jina.ai", "jina"),
    ("snowflakecomputing.com", "snowflake"),
    ("portkey.ai", "portkey"),
    ("ai-gateway.vercel.sh", "vercel"),
    ("ollama.com", "ollama"),
    ("upstage.ai", "upstage"),
    ("inceptionlabs.ai", "inception"),
    ("scaleway.ai", "scaleway"),
    ("ovh.net", "ovhcloud"),
    ("ml.cloud.ibm.com", "watsonx"),
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
)
"""Suffix of a host -> provider; the longest suffix wins."""

_BY_SUFFIX = dict(_HOSTS)

OLLAMA_PORT = 11434


def provider_of(url: SplitResult, api: str) -> str:
    """The provider of a call.

    Args:
        url: The URL.
        api: The wire format's name, whose first word is the dialect.

    Returns:
        A short name in lower case, ``"openai"``, ``"azure"``, ``"bedrock"``.
    """
    host = host_of(url)
    found = by_host(host)
    if found is not None:
        return found
    if _port(url) == OLLAMA_PORT:
        return "ollama"
    return api.split(".", 1)[0]


def host_of(url: SplitResult) -> str:
    """The host in lower case, without port; ``""`` where the URL has none or is damaged."""
    try:
        return (url.hostname or "").rstrip(".")
    except ValueError:
        return ""


@lru_cache(maxsize=256)
def by_host(host: str) -> str | None:
    """The provider of a host, ``None`` where it is not known."""
    labels = host.split(".")
    if host.endswith(("amazonaws.com", "amazonaws.com.cn")):
        return _amazon(labels)
    if labels[-1] == "com" and labels[-2:-1] == ["googleapis"] and labels[0].endswith("aiplatform"):
        return "vertex"
    for start in range(len(labels) - 1):
        found = _BY_SUFFIX.get(".".join(labels[start:]))
        if found is not None:
            return found
    return None


def _amazon(labels: list[str]) -> str | None:
    for label in labels:
        if label.startswith("bedrock"):
            return "bedrock"
        if "sagemaker" in label:
            return "sagemaker"
    return None


def _port(url: SplitResult) -> int | None:
    try:
        return url.port
    except ValueError:
        return None
