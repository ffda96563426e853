"""Where a provider of the configuration is, and Bedrock's own way to prove who asks."""

import importlib
import importlib.util
from typing import Any
from urllib.parse import urlsplit

from pacabench.config.load import LoadedConfig
from pacabench.config.provider_names import AWS_KEYS, KNOWN_PROVIDERS
from pacabench.config.proxy import ProviderConfig
from pacabench.errors import ConfigError
from pacabench.proxy.base_url import normalise_base_url
from pacabench.proxy.control import ProviderSpec

_REGION_NAMES = ("AWS_REGION", "AWS_DEFAULT_REGION")
_BEARER = "AWS_BEARER_TOKEN_BEDROCK"


def base_url_of(loaded: LoadedConfig, name: str, given: str | None) -> str:
    """The base URL of provider ``name``, as the proxy uses it.

    Raises:
        ConfigError: it has none by default and none is given; or it cannot be used.
    """
    known = KNOWN_PROVIDERS[name]
    url = given or known.base_url
    if url is None:
        raise ConfigError(
            f"{loaded.path}: config.proxy: provider {name} needs a base_url, the address of your "
            "own resource (https://NAME.openai.azure.com)"
        )
    try:
        return normalise_base_url(url, root=known.root, suffixes=known.suffixes)
    except ValueError as error:
        raise ConfigError(f"{loaded.path}: config.proxy: provider {name}: {error}") from None


def usable_key(key: str, variable: str) -> str:
    """``key``, which has to fit into a header.

    Raises:
        ConfigError: it does not.
    """
    if not key.isprintable() or not key.isascii():
        raise ConfigError(f"{variable} holds characters that no key has")
    return key


def forward_proxy(loaded: LoadedConfig, base_url: str) -> str | None:
    """The proxy on the way to ``base_url``, by the variables that curl and others go by.

    Raises:
        ConfigError: it cannot be used; says which variable.
    """
    parts = urlsplit(base_url)
    named = {name: loaded.environ.get(name, "").strip() for name in _proxy_names(parts.scheme)}
    variable = next((name for name, value in named.items() if value), None)
    excepted = loaded.environ.get("no_proxy") or loaded.environ.get("NO_PROXY", "")
    if variable is None or _is_excepted(parts.hostname or "", excepted):
        return None
    url = named[variable] if "://" in named[variable] else f"http://{named[variable]}"
    try:
        usable = urlsplit(url).scheme == "http" and bool(urlsplit(url).hostname)
        _ = urlsplit(url).port
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{variable} names no forward proxy that can be used: http://HOST:PORT")
    return url


def _is_excepted(host: str, entries: str) -> bool:
    """Whether NO_PROXY names ``host``, or a domain that it is in."""
    for entry in entries.split(","):
        name = entry.strip().lower().removeprefix("*").removeprefix(".").partition(":")[0]
        if entry.strip() == "*" or (name and f".{host}".endswith(f".{name}")):
            return True
    return False


def _proxy_names(scheme: str) -> tuple[str, ...]:
    return f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"


def bedrock_spec(loaded: LoadedConfig, entry: ProviderConfig) -> ProviderSpec:
    """Bedrock with a key of its own kind, or with AWS credentials that sign each request.

    These are looked for in the environment, and where ``pacabench[bedrock]`` is installed in
    everything that AWS's SDKs know besides (profiles, SSO, roles).

    Raises:
        ConfigError: no region, or no credentials.
    """
    environ = loaded.environ
    region = entry.region or next(filter(None, map(environ.get, _REGION_NAMES)), "")
    if not region:
        raise ConfigError(
            f"{loaded.path}: provider bedrock needs a region: set config.proxy.providers.bedrock"
            ".region, or AWS_REGION"
        )
    url = entry.base_url or f"https://bedrock-runtime.{region}.amazonaws.com"
    base_url = base_url_of(loaded, "bedrock", url)
    variable = entry.api_key_env or _BEARER
    bearer = usable_key(environ.get(variable, "").strip(), variable)
    if bearer:
        return ProviderSpec(
            "bedrock", "bedrock", base_url, bearer, region=region, key_name=variable
        )
    if entry.api_key_env is not None:
        raise ConfigError(f"{loaded.path}: environment variable {variable} is not set")
    access, secret, token = _credentials(loaded)
    return ProviderSpec(
        "bedrock",
        "bedrock",
        base_url,
        secret,
        access_key_id=access,
        session_token=token or None,
        region=region,
        key_name=AWS_KEYS[0],
    )


def _credentials(loaded: LoadedConfig) -> tuple[str, str, str]:
    names = AWS_KEYS
    found = [usable_key(loaded.environ.get(name, "").strip(), name) for name in names]
    if found[0] and found[1]:
        return found[0], found[1], found[2]
    if importlib.util.find_spec("botocore") is None:
        raise ConfigError(
            f"{loaded.path}: provider bedrock needs {_BEARER}, or {names[0]} and {names[1]}; "
            "profiles, SSO and roles are looked up where `pip install 'pacabench[bedrock]'` was run"
        )
    session: Any = importlib.import_module("botocore.session").get_session()
    try:
        credentials = session.get_credentials()
        frozen = None if credentials is None else credentials.get_frozen_credentials()
    except Exception as error:  # botocore's own, of many kinds
        raise ConfigError(f"{loaded.path}: provider bedrock: {error}") from error
    if frozen is None:
        raise ConfigError(
            f"{loaded.path}: provider bedrock needs credentials: none in {_BEARER}, none in "
            f"{names[0]} and {names[1]}, and AWS's own places have none either"
        )
    return frozen.access_key, frozen.secret_key, frozen.token or ""
