"""The providers of models that Hermes knows by itself.

Names are those of hermes-agent 0.19 to 0.21.
"""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["BUILT_IN_PROVIDERS", "KEYLESS_PROVIDERS", "PROVIDER_ALIASES", "named"]

BUILT_IN_PROVIDERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "alibaba": ("DASHSCOPE_API_KEY",),
        "alibaba-coding-plan": ("ALIBABA_CODING_PLAN_API_KEY", "DASHSCOPE_API_KEY"),
        "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
        "arcee": ("ARCEEAI_API_KEY",),
        "azure-foundry": ("AZURE_FOUNDRY_API_KEY",),
        "bedrock": (),
        "copilot": ("COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"),
        "copilot-acp": (),
        "deepinfra": ("DEEPINFRA_API_KEY",),
        "deepseek": ("DEEPSEEK_API_KEY",),
        "fireworks": ("FIREWORKS_API_KEY",),
        "gemini": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
        "gmi": ("GMI_API_KEY",),
        "huggingface": ("HF_TOKEN",),
        "kilocode": ("KILOCODE_API_KEY",),
        "kimi-coding": ("KIMI_API_KEY", "KIMI_CODING_API_KEY"),
        "kimi-coding-cn": ("KIMI_CN_API_KEY",),
        "lmstudio": ("LM_API_KEY",),
        "minimax": ("MINIMAX_API_KEY",),
        "minimax-cn": ("MINIMAX_CN_API_KEY",),
        "minimax-oauth": (),
        "nous": (),
        "novita": ("NOVITA_API_KEY",),
        "nvidia": ("NVIDIA_API_KEY",),
        "ollama-cloud": ("OLLAMA_API_KEY",),
        "openai-api": ("OPENAI_API_KEY",),
        "openai-codex": (),
        "opencode-go": ("OPENCODE_GO_API_KEY",),
        "opencode-zen": ("OPENCODE_ZEN_API_KEY",),
        "openrouter": ("OPENROUTER_API_KEY",),
        "qwen-oauth": (),
        "stepfun": ("STEPFUN_API_KEY",),
        "tencent-tokenhub": ("TOKENHUB_API_KEY",),
        "upstage": ("UPSTAGE_API_KEY",),
        "vertex": (),
        "xai": ("XAI_API_KEY",),
        "xai-oauth": (),
        "xiaomi": ("XIAOMI_API_KEY",),
        "zai": ("GLM_API_KEY", "ZAI_API_KEY", "Z_AI_API_KEY"),
    }
)
"""The providers that Hermes knows by itself, each with the variables that may hold its key; none: it logs in."""

KEYLESS_PROVIDERS = frozenset({"lmstudio"})
"""Those of them that need no key, although they take one."""

PROVIDER_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        alias: provider
        for provider, aliases in {
            "alibaba": "alibaba-cloud dashscope qwen-dashscope",
            "alibaba-coding-plan": "alibaba-coding alibaba_coding alibaba_coding_plan dashscope-coding",
            "anthropic": "claude claude-code claude-oauth",
            "arcee": "arcee-ai arceeai",
            "azure-foundry": "azure azure-ai azure-ai-foundry",
            "bedrock": "amazon amazon-bedrock aws aws-bedrock",
            "copilot": "github github-copilot github-model github-models",
            "copilot-acp": "copilot-acp-agent github-copilot-acp",
            "deepinfra": "deep-infra deepinfra-ai",
            "deepseek": "deepseek-chat",
            "fireworks": "fireworks-ai fw",
            "gemini": "google google-ai-studio google-gemini",
            "gmi": "gmi-cloud gmicloud",
            "huggingface": "hf hugging-face huggingface-hub",
            "kilocode": "kilo kilo-code kilo-gateway",
            "kimi-coding": "kimi kimi-for-coding moonshot",
            "kimi-coding-cn": "kimi-cn moonshot-cn",
            "lmstudio": "lm-studio lm_studio",
            "minimax": "mini-max",
            "minimax-cn": "minimax-china minimax_cn",
            "minimax-oauth": "minimax-global minimax-oauth-io minimax-portal minimax_oauth",
            "nous": "nous-portal nousresearch",
            "novita": "novita-ai novitaai",
            "nvidia": "nvidia-nim",
            "ollama-cloud": "ollama_cloud",
            "openai-codex": "codex openai_codex",
            "opencode-go": "go opencode-go-sub opencode_go",
            "opencode-zen": "opencode opencode_zen zen",
            "openrouter": "or",
            "qwen-oauth": "qwen qwen-cli qwen-portal",
            "stepfun": "step stepfun-coding-plan",
            "tencent-tokenhub": "tencent tencent-cloud tencentmaas tokenhub",
            "upstage": "solar",
            "xai": "grok x-ai x.ai",
            "xai-oauth": "grok-oauth x-ai-oauth xai-grok-oauth",
            "xiaomi": "mimo xiaomi-mimo",
            "zai": "glm z-ai z.ai zhipu",
        }.items()
        for alias in aliases.split()
    }
)
"""Other names that Hermes has for them; one under providers goes before."""


def named(provider: str) -> str:
    """Return the key of providers that a reference means, which may be spelled custom:<name>."""
    return provider.removeprefix("custom:")
