"""The provider of a request: by its host where that is known, else whoever made the API."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_tokenbudget.providers.request import Request

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


def provider_of(request: Request, maker: str, hosts: Mapping[str, str]) -> str:
    """The provider of a request.

    Args:
        request: The request.
        maker: Who made the API; that is the provider where the host is not known.
        hosts: Suffix of a host -> provider; the longest suffix wins.

    Returns:
        The provider as OpenTelemetry names it (``gen_ai.provider.name``), else a short name in lower case.
    """
    host = request.host
    found = _amazon(host) or _vertex(host) or _foundry(host, request.path) or _by_suffix(host, hosts)
    if found is not None:
        return found
    if request.port == OLLAMA_PORT:
        return "ollama"
    return maker


def is_model_host(host: str, hosts: Mapping[str, str]) -> bool:
    """Whether a host serves models, as far as it is known.

    Args:
        host: The host, in lower case, without port.
        hosts: Suffix of a host -> provider.
    """
    return (_amazon(host) or _vertex(host) or _by_suffix(host, hosts)) is not None


def _by_suffix(host: str, hosts: Mapping[str, str]) -> str | None:
    while "." in host:
        if host in hosts:
            return hosts[host]
        host = host.partition(".")[2]
    return None


def _vertex(host: str) -> str | None:
    """Vertex AI's regional hosts, ``europe-west4-aiplatform.googleapis.com``."""
    return "gcp.vertex_ai" if host.endswith("aiplatform.googleapis.com") else None


def _foundry(host: str, path: str) -> str | None:
    """Microsoft Foundry's hosts serve both of Azure's APIs, told apart by the path."""
    if not host.endswith("services.ai.azure.com"):
        return None
    return "azure.ai.openai" if "/openai/" in f"{path}/" else "azure.ai.inference"


def _amazon(host: str) -> str | None:
    """Amazon's hosts name the service in a label before the region."""
    if not host.endswith(("amazonaws.com", "amazonaws.com.cn")):
        return None
    for label in host.split("."):
        if label.startswith("bedrock"):
            return "aws.bedrock"
        if "sagemaker" in label:
            return "sagemaker"
    return None
