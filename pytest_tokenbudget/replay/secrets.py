"""Finds what looks like a key, a token or a password in a text.

A shape is tried only where one of its anchors stands, a fixed text such as ``ghp_``, and reads a bounded number of
characters from there. So looking through a text takes time in proportion to its length, whatever it holds. Placeholders
(``sk-your-key-here``, ``xxxx``, words with dashes) are no secrets.

Sources of the shapes: the providers' own documentation and what they register with GitHub's secret scanning
(docs.github.com/en/code-security/secret-scanning/introduction/supported-secret-scanning-patterns, read 2026-11-28).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from urllib.parse import unquote

from pytest_tokenbudget.errors import SettingsError

PLACEHOLDERS = frozenset(
    re.findall(
        r"\w+",
        "bar change changeme dummy enter example fake foo here hidden insert my none null obtained passwd password"
        " placeholder redacted replace sample secret test todo xxx your",
    )
)
"""Words that say that a value is none."""

_ANYWHERE_IN_IT = ("example", "placeholder", "redacted", "changeme", "yourkey", "your_", "...")
_SHORT_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and api app at aws by db dev for from gcp get go id in is it key llm log my new no not of old on one or our"
        " own pre prod put qa run set sk sql ssh the to two url use user via web with",
    )
)
_COMMON_PAIRS = frozenset(
    re.findall(
        "..",
        "thheineranrendatonnthaesstenedtoitoueahiisortiasteetngofaldeselesasiarveraldurrorioicmelicocemaneomelfolllutawhcl"
        "ilamirutecchospeotrurspnoetrtratplivmodiusnsiecaigunssacrdpruewevillesgemibeabsucpodleiftcttefivoabaccgeakeygapkiow"
        "nspaedlynanickimbinsnftwtyodgobllddlictrugialvispyrdofpcexksaymscypiccbuneoragaicstiodirfipahouietpafailoopxpagr",
    )
)
"""Pairs of letters that are common in English words, and rare where letters are chosen by chance."""

_SEGMENT = re.compile(r"[A-Z]?[a-z]{1,40}|[A-Z]{1,40}(?![a-z])|[0-9]{1,40}")
_REPEATED = re.compile(r"(.)\1{6}")
"""One character seven times in a row: one of a thousand million keys has it by chance."""

_LEAST_SHARE_OF_WORDS = 0.6
_LEAST_ENTROPY_BITS = 3.0
"""Shannon entropy of a value's characters, bits a character: 32 hexadecimal digits have about 3.6, words about 2.8."""


def is_filler(value: str) -> bool:
    """Tell whether a value is filled with one character or dots, or says that it is an example.

    Sequences such as ``abcdefgh`` are no filler: who makes a key by hand for a test wants it to be taken for one.
    """
    lower = value.lower()
    return (
        any(word in lower for word in _ANYWHERE_IN_IT)
        or len(set(value)) < min(6, len(value))
        or _REPEATED.search(lower) is not None
    )


def is_placeholder(value: str) -> bool:
    """Tell whether a value is a filler, or made of words."""
    if is_filler(value):
        return True
    in_words, letters, says_so = 0, 0, False
    for segment in _SEGMENT.findall(value):
        if segment.isdigit():
            letters += len(segment) if len(segment) > 4 else 0  # a year or a version is part of a name
            continue
        word = segment.lower()
        letters += len(word)
        in_words += len(word) if _is_word(word) else 0
        says_so = says_so or word in PLACEHOLDERS
    share = in_words / letters if letters else 1.0
    return share >= (_LEAST_SHARE_OF_WORDS / 2 if says_so else _LEAST_SHARE_OF_WORDS)


def is_random(value: str) -> bool:
    """Tell whether a value is made by chance: of many different characters, and not of words."""
    is_hex = re.fullmatch("[0-9a-f]{32,}", value) is not None
    is_mixed = any(map(str.isdigit, value)) or value not in (value.lower(), value.upper())
    if not is_mixed or (is_filler(value) if is_hex else is_placeholder(value)):
        return False
    counts = Counter(value).values()
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts) >= _LEAST_ENTROPY_BITS


def _is_word(word: str) -> bool:
    if len(word) < 4 or word in PLACEHOLDERS:
        return word in _SHORT_WORDS or word in PLACEHOLDERS
    pairs = [one + other for one, other in pairwise(word)]
    return sum(pair in _COMMON_PAIRS for pair in pairs) >= 0.6 * len(pairs)


Check = Callable[[str], bool]
"""Tells whether the value that a shape has found is a secret, and not a placeholder."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Something that looks like a secret.

    Attributes:
        kind: Name of its shape.
        value: The secret itself.
    """

    kind: str
    value: str

    @property
    def name(self) -> str:
        """Name the finding without telling it: its kind, and a fingerprint of its value."""
        return f"{self.kind}:{hashlib.sha256(self.value.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"

    @property
    def shown(self) -> str:
        """Show the first characters."""
        return f"{self.value[:4]}..."


def _is_no_filler(value: str) -> bool:
    return not is_filler(value)


def _is_not_made_of_words(value: str) -> bool:
    return not is_placeholder(value)


def _is_strong_password(value: str) -> bool:
    classes = (str.islower, str.isupper, str.isdigit, lambda one: not one.isalnum() and one not in "-_./")
    return sum(any(map(holds, value)) for holds in classes) >= 3 and not is_placeholder(value)


def _is_url_password(found: str) -> bool:
    user, _, rest = found.partition(":")
    password, _, host = rest.rpartition("@")
    local = host in ("localhost", "127.0.0.1", "host", "db") or host.startswith("example.")
    word = password.lower() in PLACEHOLDERS or password.lower().startswith("pass")
    return password != user and not local and not word and not re.search(r"[${}<>*%]|\.\.\.", password)


def _is_basic_credential(value: str) -> bool:
    try:
        user, colon, password = base64.b64decode(value + "=" * (-len(value) % 4), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return bool(user and colon and password) and user.isprintable() and not is_placeholder(password)


def _is_json_web_token(value: str) -> bool:
    header, claims, _ = (f"eyJ{value}").split(".")
    try:
        decoded = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode() for part in (header, claims)]
    except (binascii.Error, UnicodeDecodeError):
        return False
    # The example of jwt.io, which half of all documentation has, is none.
    return '"alg"' in decoded[0] and "1234567890" not in decoded[1] and "John Doe" not in decoded[1]


def _is_private_key(after: str) -> bool:
    """Tell whether key material follows the first line, or nothing at all: then it may stand in another text."""
    material = re.search(r"[A-Za-z0-9+/=]{40}", after)
    return not after.strip() or (material is not None and not is_placeholder(material[0]))


@dataclass(frozen=True, slots=True)
class Shape:
    """The look of one kind of secret.

    Attributes:
        kind: Its name, by which findings can be allowed.
        anchors: Texts, separated by blanks, of which one begins each such secret; in lower case where ``folded``.
        rest: Regular expression of what follows; its last group is the secret.
        is_secret: Decides about what was found.
        preceded: What has to stand before the anchor; by default no part of a word.
        folded: Whether letters are compared whatever their case.
    """

    kind: str
    anchors: str
    rest: str
    is_secret: Check = _is_no_filler
    preceded: str | None = None
    folded: bool = False


_LEVELS_OF_ESCAPES = 3
"""The deepest nesting of JSON texts within JSON."""

_MOST_PRECEDING = 24
"""Characters before an anchor in which ``preceded`` is looked for."""

_END = r"(?![A-Za-z0-9])"
_ALNUM, _URL64 = "[A-Za-z0-9]", "[A-Za-z0-9_-]"
_ASSIGNED = r"""["'\])]{0,3}\s{0,4}(?::=|=>|[:=]|is\s)\s{0,4}["'(\[]{0,3}"""
_QUALIFIERS = (
    "access|account|admin|api|app|auth|bot|client|consumer|deploy|encryption|gateway|hmac|master|oauth|org|personal|private"
    "|project|refresh|secret|security|service|session|shared|signing|storage|subscription|user|webhook"
)
"""Words that make a key or a token a secret one: there are keys of dictionaries and tokens of pages, too."""


SHAPES: tuple[Shape, ...] = (
    Shape("sk-key", "sk-", rf"({_URL64}{{20,250}})", _is_not_made_of_words),
    Shape("google-api-key", "AIza", rf"({_URL64}{{35}}){_END}"),
    Shape("google-token", "ya29. 1//0 GOCSPX-", rf"({_URL64}{{20,2000}})"),
    Shape("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", rf"({_ALNUM}{{36,255}})"),
    Shape("github-token", "github_pat_", r"([A-Za-z0-9_]{40,255})"),
    Shape("gitlab-token", "glpat- gldt- glrt- glptt-", rf"({_URL64}{{20,100}})"),
    Shape("aws-key-id", "AKIA ASIA AROA ABIA ACCA", rf"([0-9A-Z]{{16}}){_END}"),
    Shape(
        "aws-secret-key",
        "secret",
        rf"(?:_?access_?key|[-_ ]?key){_ASSIGNED}([a-z0-9/+]{{40}})(?![a-z0-9/+])",
        is_random,
        preceded="",
        folded=True,
    ),
    Shape("bedrock-key", "ABSK", r"([A-Za-z0-9+/]{80,300})"),
    Shape("azure-account-key", "accountkey= sharedaccesskey=", r"([a-z0-9+/]{40,100}={0,2})", preceded="", folded=True),
    Shape(
        "azure-client-secret",
        "8Q~",
        rf"([A-Za-z0-9_.~-]{{31,34}}){_END}",
        preceded=r"(?<![A-Za-z0-9_.~-])[A-Za-z0-9_.~-]{3}",
    ),
    Shape("slack-token", "xoxa- xoxb- xoxe- xoxp- xoxr- xoxs- xapp-", r"([A-Za-z0-9-]{10,250})", is_random),
    Shape(
        "slack-webhook",
        "hooks.slack.com/",
        rf"(?:services|workflows|triggers)/T[A-Z0-9]{{3,20}}/[A-Z0-9]{{3,21}}/({_ALNUM}{{20,60}})",
        preceded="",
    ),
    Shape(
        "discord-webhook",
        "discord.com/api/webhooks/ discordapp.com/api/webhooks/",
        rf"\d{{5,30}}/({_URL64}{{60,100}})",
        preceded="",
    ),
    # Begins with a number in base64.
    Shape(
        "discord-token",
        "MT Mj Mz ND NT Nj Nz OD OT",
        rf"([A-Za-z0-9]{{21,26}}\.{_URL64}{{6}}\.{_URL64}{{27,45}})(?!{_URL64})",
        is_random,
    ),
    Shape("telegram-token", ":AA", rf"({_URL64}{{33}})(?!{_URL64})", preceded=r"\d{8,10}"),
    Shape("groq-key", "gsk_", rf"({_ALNUM}{{30,100}})", is_random),
    Shape("xai-key", "xai-", rf"({_ALNUM}{{30,150}})"),
    Shape("hugging-face-token", "hf_ api_org_", rf"({_ALNUM}{{30,60}})"),
    Shape("replicate-token", "r8_", rf"({_ALNUM}{{30,60}})"),
    Shape("perplexity-key", "pplx-", rf"({_URL64}{{30,80}})"),
    Shape("nvidia-key", "nvapi-", rf"({_URL64}{{30,120}})"),
    Shape("langsmith-key", "lsv2_pt_ lsv2_sk_ ls__", r"([0-9a-f]{32}(?:_[0-9a-f]{10})?)"),
    Shape("pinecone-key", "pcsk_", r"([A-Za-z0-9_]{40,120})"),
    Shape("voyage-key", "pa-", rf"({_URL64}{{43}})(?!{_URL64})", is_random),
    Shape("tavily-key", "tvly-", rf"({_URL64}{{20,60}})"),
    Shape("cerebras-key", "csk-", r"([a-z0-9]{40,60})"),
    Shape("fireworks-key", "fw_", rf"({_ALNUM}{{22,40}}){_END}", is_random),
    Shape("databricks-token", "dapi", rf"([0-9a-f]{{32}}(?:-\d)?){_END}"),
    Shape("digitalocean-token", "dop_v1_ doo_v1_ dor_v1_", r"([0-9a-f]{64})"),
    Shape("shopify-token", "shpat_ shpca_ shppa_ shpss_", r"([0-9a-fA-F]{32})"),
    Shape("stripe-key", "sk_live_ sk_test_ rk_live_ rk_test_ sk_prod_ whsec_", r"([A-Za-z0-9+/]{16,250})"),
    Shape("twilio-key", "SK", rf"([0-9a-f]{{32}}){_END}"),
    Shape("sendgrid-key", "SG.", rf"({_URL64}{{16,40}}\.{_URL64}{{30,60}})"),
    Shape("mailgun-key", "key-", rf"([0-9a-f]{{32}}){_END}"),
    Shape("npm-token", "npm_", rf"({_ALNUM}{{36}}){_END}"),
    Shape("pypi-token", "pypi-AgEI", rf"({_URL64}{{40,300}})"),
    Shape("docker-token", "dckr_pat_ dckr_oat_", rf"({_URL64}{{20,60}})"),
    Shape("vault-token", "hvs. hvb. hvr.", rf"({_URL64}{{20,200}})"),
    Shape("grafana-token", "glsa_ glc_", r"([A-Za-z0-9_+/=]{32,200})"),
    Shape("sentry-token", "sntrys_ sntryu_", r"([A-Za-z0-9_+/=]{40,300})"),
    Shape("notion-token", "ntn_ secret_", rf"({_ALNUM}{{40,60}})", is_random),
    Shape("linear-key", "lin_api_", rf"({_ALNUM}{{32,60}})"),
    Shape("age-key", "AGE-SECRET-KEY-1", r"([0-9A-Z]{50,70})"),
    Shape(
        "json-web-token",
        "eyJ",
        rf"({_URL64}{{10,4000}}\.eyJ{_URL64}{{10,8000}}\.{_URL64}{{10,2000}})",
        _is_json_web_token,
    ),
    Shape(
        "bearer-token", "bearer", r"[\s:\"']{1,4}([a-z0-9._~+/-]{20,4000}={0,2})", is_random, preceded="", folded=True
    ),
    Shape(
        "basic-credential",
        "basic",
        r"[\s:\"']{1,4}([a-z0-9+/]{8,500}={0,2})",
        _is_basic_credential,
        preceded="",
        folded=True,
    ),
    Shape(
        "url-password",
        "://",
        r"([^\s:/?#@\"'<>]{0,100}:[^\s/?#@\"'<>]{3,200}@[\w.-]{1,253})",
        _is_url_password,
        preceded="[A-Za-z][A-Za-z0-9+.-]{1,20}",
    ),
    Shape(
        "named-key",
        "key token secret",
        rf"s?{_ASSIGNED}([a-z0-9_.~+/=-]{{20,300}})",
        is_random,
        preceded=rf"(?:{_QUALIFIERS})[-_ .]?",
        folded=True,
    ),
    Shape(
        "named-password",
        "password passwd passphrase pwd",
        rf"{_ASSIGNED}([^\s\"',;)\]}}]{{10,200}})",
        _is_strong_password,
        preceded="",
        folded=True,
    ),
    Shape(
        "private-key",
        "-----BEGIN",
        r" [A-Z0-9 ]{0,20}PRIVATE KEY(?: BLOCK)?-----([\s\S]{0,250})",
        _is_private_key,
        preceded="",
    ),
)

_ANCHORED = [(anchor, shape) for shape in SHAPES for anchor in shape.anchors.split()]
KINDS = frozenset(shape.kind for shape in SHAPES)


def allowed_secrets(lines: Sequence[str]) -> frozenset[str]:
    """Read ``tokenbudget_allow_secret``: kinds, or single findings as the message names them.

    Raises:
        SettingsError: If a kind is not known.
    """
    for line in lines:
        if line.partition(":")[0] not in KINDS:
            raise SettingsError(
                f"tokenbudget_allow_secret: {line!r} is no kind of secret; they are: {', '.join(sorted(KINDS))}",
                remedy="tokenbudget_allow_secret = bearer-token:1f2e3d4c",
            )
    return frozenset(lines)


def find_secret(text: str, allowed: frozenset[str] = frozenset()) -> Secret | None:
    """Find something that looks like a secret in a text, also where it is escaped as in JSON or in a URL.

    Args:
        text: The text.
        allowed: Kinds and names of findings that are passed over.
    """
    return next((one for one in _secrets(text) if one.kind not in allowed and one.name not in allowed), None)


def _secrets(text: str) -> Iterator[Secret]:
    for variant in _variants(text):
        folded = variant.lower()
        if len(folded) != len(variant):
            folded = "".join(one.lower() if one.isascii() else one for one in variant)
        for anchor, shape in _ANCHORED:
            searched = folded if shape.folded else variant
            if anchor in searched:
                yield from _found(shape, anchor, searched, variant)


def _found(shape: Shape, anchor: str, searched: str, text: str) -> Iterator[Secret]:
    pattern, preceded = _compiled(anchor, shape.rest, shape.preceded)
    for found in pattern.finditer(searched):
        at = found.start()
        if preceded is not None and not preceded.search(searched[max(0, at - _MOST_PRECEDING) : at]):
            continue
        start, end = found.span(found.lastindex or 0)
        value = text[start:end]
        if shape.is_secret(value):
            yield Secret(shape.kind, value)


@cache
def _compiled(anchor: str, rest: str, preceded: str | None) -> tuple[re.Pattern[str], re.Pattern[str] | None]:
    """Compile a pattern that begins with its anchor, which is quick to search for, and consumes nothing else."""
    literal = re.escape(anchor)
    no_word = rf"(?<![A-Za-z0-9_-]{literal})" if preceded is None else ""
    before = re.compile(rf"(?:{preceded})\Z") if preceded else None
    return re.compile(rf"{literal}{no_word}(?={rest})"), before


def _variants(text: str) -> Iterable[str]:
    """Give a text as it is, and with escapes of JSON or of URLs resolved, which would hide where a secret begins."""
    yield text
    plain = text
    for _ in range(_LEVELS_OF_ESCAPES):
        if "\\" not in plain:
            break
        # One level: of two backslashes one is left.
        plain = plain.replace("\\\\", "\0").replace("\\n", "\n").replace("\\r", "\n").replace("\\t", "\t")
        plain = plain.replace('\\"', '"').replace("\\/", "/").replace("\0", "\\")
        plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), plain)
        yield plain
    if "%" in text and (plain := unquote(text)) != text:
        yield plain
