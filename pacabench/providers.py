"""From the configuration to what the proxy needs; and real keys kept away from agents."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from pacabench.config.load import LoadedConfig, key_names
from pacabench.config.masking import SHORTEST_SECRET
from pacabench.config.provider_names import KNOWN_PROVIDERS, PROVIDER_KEYS
from pacabench.config.proxy import ProviderConfig, ProxyConfig
from pacabench.config.schema import AgentConfig
from pacabench.config.services import ServiceConfig
from pacabench.config.yaml_source import MAX_BYTES, YamlError, YamlSource, parse_yaml
from pacabench.endpoints import base_url_of, bedrock_spec, forward_proxy, usable_key
from pacabench.errors import ConfigError
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.rules import RuleError, parse_rules

VIRTUAL_KEY = "{pacabench:virtual-key}"
"""Stands in an agent's variables where a sandbox has to put the attempt's virtual key."""

_MAX_RULES_BYTES = 64 * 1024**2
"""Of a JSON file with rules; a YAML file has the configuration's own limit."""
_LOCAL_NAMES = re.compile(r"localhost|[^.]+|.+\.(?:localhost|local|internal|lan)", re.IGNORECASE)
_RULE_NUMBER = re.compile(r"rule (\d+): ")


def provider_specs(loaded: LoadedConfig, *, sealed: bool = False) -> tuple[list[ProviderSpec], str]:
    """The providers that the proxy serves, and the name of the default one.

    The list is empty where the proxy is off. ``proxy.base_url``, ``api_key_env``, ``rules`` and
    ``region`` are those of the default provider. ``sealed`` ones are answered out of a cassette:
    they need no key, and have none.

    Raises:
        ConfigError: a key is not set, a base URL or a file of rules cannot be used.
    """
    proxy = loaded.config.config.proxy
    default = default_provider(proxy)
    if not proxy.enabled:
        return [], default
    entries = {default: ProviderConfig(), **{str(key): v for key, v in proxy.providers.items()}}
    entries[default] = _merged(loaded, proxy, default, entries[default])
    allowed: list[str] = list(proxy.allow_provider_tools)
    specs: list[ProviderSpec] = []
    make = _sealed if sealed else _spec
    for name, entry in entries.items():
        spec = make(loaded, name, entry)
        private = may_be_private(spec, named=entry.base_url is not None)
        way = forward_proxy(loaded, spec.base_url) if proxy.trust_env and spec.base_url else None
        specs.append(replace(spec, allow_tools=allowed, private=private, forward_proxy=way))
    return specs, default


def default_provider(proxy: ProxyConfig) -> str:
    """The default provider: ``provider`` where it is said; else the first of ``providers``."""
    if "provider" in proxy.model_fields_set or not proxy.providers:
        return proxy.provider
    return next(iter(proxy.providers))


def clean_agent_env(agent: AgentConfig, loaded: LoadedConfig) -> tuple[dict[str, str], list[str]]:
    """The agent's variables without real keys, and what the user should be told.

    A key is known by its variable's name, or because its value is that of a provider's key in the
    environment. ``VIRTUAL_KEY`` is put in its place, also inside a longer text.

    Raises:
        ConfigError: a command or build argument holds a key; it would be kept in the image.
    """
    keys = _real_keys(loaded)
    _refuse_in_commands(agent, loaded, keys)
    env, replaced = _virtual(agent.env, keys)
    return env, [
        f"agent {agent.name!r}: the key in env.{name} does not reach the agent; "
        "it gets a virtual key, and the proxy puts in the real one"
        for name in replaced
    ]


def clean_service_env(
    agent: AgentConfig, service: ServiceConfig, loaded: LoadedConfig
) -> tuple[dict[str, str], list[str]]:
    """A service's variables without real keys, and what the user should be told.

    As :func:`clean_agent_env`; a service whose variables hold no key gets none.

    Raises:
        ConfigError: its command, health check or a build argument holds a key.
    """
    keys = _real_keys(loaded)
    arguments = service.build.args if service.build is not None else {}
    texts = {
        "command": service.command or "",
        "healthcheck.command": service.healthcheck.command or "",
        **{f"build.args.{name}": value for name, value in arguments.items()},
    }
    for place, text in texts.items():
        if _without(text, keys) != text:
            raise ConfigError(
                f"{loaded.path}: agents.{agent.name}.services.{service.name}.{place} holds a "
                f"provider's real key; give the service a virtual one: write {VIRTUAL_KEY!r} as "
                "a value in its env"
            )
    env, replaced = _virtual(service.env, keys)
    return env, [
        f"agent {agent.name!r}: the key in env.{name} of service {service.name!r} does not reach "
        "it; it gets the attempt's virtual key, and the proxy puts in the real one"
        for name in replaced
    ]


def _virtual(env: Mapping[str, str], keys: list[str]) -> tuple[dict[str, str], list[str]]:
    """``env`` with ``VIRTUAL_KEY`` where it has a real one, and the names where that was so."""
    cleaned = {
        name: VIRTUAL_KEY if name in PROVIDER_KEYS and value.strip() else _without(value, keys)
        for name, value in env.items()
    }
    return cleaned, [name for name, value in env.items() if cleaned[name] != value]


def _merged(
    loaded: LoadedConfig, proxy: ProxyConfig, default: str, entry: ProviderConfig
) -> ProviderConfig:
    values: dict[str, Any] = {}
    for key in ProviderConfig.model_fields:
        outer, inner = getattr(proxy, key), getattr(entry, key)
        if outer is not None and inner is not None and outer != inner:
            raise ConfigError(
                f"{loaded.path}: config.proxy.{key} and config.proxy.providers.{default}.{key} "
                "say different things about the same provider; take one out"
            )
        values[key] = inner if inner is not None else outer
    return ProviderConfig(**values)


def _spec(loaded: LoadedConfig, name: str, entry: ProviderConfig) -> ProviderSpec:
    if name == "scripted":
        rules = _rules(loaded.resolve(entry.rules)) if entry.rules is not None else None
        return ProviderSpec(name=name, kind=name, rules=rules)
    if entry.rules is not None:
        raise ConfigError(f"{loaded.path}: `rules` are for the scripted provider, not for {name}")
    if entry.region is not None and name != "bedrock":
        raise ConfigError(f"{loaded.path}: `region` is for bedrock, not for {name}")
    if name == "bedrock":
        return bedrock_spec(loaded, entry)
    base_url = base_url_of(loaded, name, entry.base_url)
    variable, key = _key(loaded, name, entry, base_url)
    return ProviderSpec(name, name, base_url, key, key_name=variable)


def _sealed(loaded: LoadedConfig, name: str, entry: ProviderConfig) -> ProviderSpec:
    """The base URL tells which price list holds, and nothing is sent to it."""
    base_url = entry.base_url
    if name not in ("scripted", "bedrock"):
        base_url = base_url_of(loaded, name, entry.base_url)
    return ProviderSpec(name=name, kind=name, base_url=base_url, region=entry.region, sealed=True)


def _key(
    loaded: LoadedConfig, name: str, entry: ProviderConfig, base_url: str
) -> tuple[str, str | None]:
    """The variable that a provider's key is looked for in, and the key."""
    known = KNOWN_PROVIDERS[name].key_names
    names = (entry.api_key_env,) if entry.api_key_env is not None else known
    variable = next((each for each in names if loaded.environ.get(each, "").strip()), names[0])
    key = loaded.environ.get(variable, "").strip()
    if not key and (entry.api_key_env is not None or not is_local(base_url)):
        raise ConfigError(
            f"{loaded.path}: provider {name} needs a key: environment variable {variable} is not "
            f"set; set it, put {variable}=... into {loaded.project / '.env'}, "
            "or name another one in config.proxy.api_key_env"
        )
    return variable, usable_key(key, variable) or None


def may_be_private(spec: ProviderSpec, *, named: bool) -> bool:
    """Whether a provider's host may have an address that is not public.

    So it is where its base URL is a local one, and where the user ``named`` a host that has to
    prove by a certificate that it is the one. Other names' owners could point them at this network.
    """
    url = spec.base_url or ""
    return is_local(url) or (named and urlsplit(url).scheme == "https")


def is_local(base_url: str) -> bool:
    """Whether the URL is about this machine or its private network, where servers take no key."""
    host = urlsplit(base_url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return _LOCAL_NAMES.fullmatch(host) is not None
    return address.is_loopback or address.is_private


def _rules(file: Path) -> list[dict[str, Any]]:
    source = _rules_source(file)
    for path, line, first in source.duplicates:
        raise ConfigError(f"{file}:{line}: duplicate key {path[-1]!r}, first on line {first}")
    try:
        return parse_rules(source.value)
    except RuleError as error:
        number = _RULE_NUMBER.match(str(error))
        mark = source.marks.get((int(number[1]) - 1,)) if number else None
        place = f"{file}:{mark.line}" if mark else str(file)
        raise ConfigError(f"{place}: {error}") from None


def _rules_source(file: Path) -> YamlSource:
    """JSON by its own reader, which is many times faster than YAML's; it knows no lines."""
    is_json = file.suffix == ".json"
    limit = _MAX_RULES_BYTES if is_json else MAX_BYTES
    try:
        with file.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"{file}: the rules cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise ConfigError(f"{file}: larger than {limit // 1024} KiB; write many rules as .json")
    try:
        return YamlSource(orjson.loads(data), {}, []) if is_json else parse_yaml(data)
    except YamlError as error:
        raise ConfigError(f"{file}:{error.line or 1}: {error}") from None
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{file}:{error.lineno}: not JSON: {error.msg}") from None


def _real_keys(loaded: LoadedConfig) -> list[str]:
    names = PROVIDER_KEYS | key_names(loaded.config)
    values = {loaded.environ.get(name, "").strip() for name in names}
    return sorted((value for value in values if len(value) >= SHORTEST_SECRET), key=len)[::-1]


def _without(value: str, keys: list[str]) -> str:
    for key in keys:
        value = value.replace(key, VIRTUAL_KEY)
    return value


def _refuse_in_commands(agent: AgentConfig, loaded: LoadedConfig, keys: list[str]) -> None:
    build = loaded.config.sandbox_of(agent).build
    arguments: Mapping[str, str] = build.args if build is not None else {}
    texts = {
        "command": agent.command,
        "setup": agent.setup or "",
        "teardown": agent.teardown or "",
        **{f"sandbox.build.args.{name}": value for name, value in arguments.items()},
    }
    for place, text in texts.items():
        if _without(text, keys) != text:
            raise ConfigError(
                f"{loaded.path}: agents.{agent.name}.{place} holds a provider's real key; agents "
                "find a virtual one in OPENAI_API_KEY"
            )
