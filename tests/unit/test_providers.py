"""Providers out of the configuration, and keys kept away from agents."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from pacabench.config.load import LoadedConfig, load_config
from pacabench.config.provider_names import KNOWN_PROVIDERS
from pacabench.errors import ConfigError
from pacabench.providers import (
    VIRTUAL_KEY,
    clean_agent_env,
    clean_service_env,
    is_local,
    provider_specs,
)

KEY = "sk-real-0123456789"


def load(
    tmp_path: Path, proxy: str, *, environ: Mapping[str, str] | None = None, agent: str = ""
) -> LoadedConfig:
    (tmp_path / "p.yaml").write_text(
        f"name: x\nconfig: {{proxy: {proxy}}}\n"
        f"agents: [{{name: a{agent or ', command: c'}}}]\n"
        "datasets: [{name: d, source: s}]\n"
    )
    return load_config(tmp_path / "p.yaml", environ=environ or {})


class TestSpecs:
    @pytest.mark.parametrize("name", [*KNOWN_PROVIDERS])
    def test_of_a_replay_they_need_no_key_and_have_none(self, tmp_path: Path, name: str) -> None:
        extra = ", base_url: 'https://my.example/'" if name == "azure_openai" else ""
        proxy = f"{{provider: {name}{extra}, replay: {{ignore: [/user], speed: 10}}}}"
        key = next(iter(KNOWN_PROVIDERS[name].key_names), "OPENAI_API_KEY")
        for environ in ({}, {key: KEY}):
            specs, _ = provider_specs(load(tmp_path, proxy, environ=environ), sealed=True)
            assert [(spec.name, spec.sealed, spec.api_key) for spec in specs] == [
                (name, True, None)
            ]
            assert KEY not in str(specs)

    def test_by_default_openai_with_the_key_of_its_sdk(self, tmp_path: Path) -> None:
        specs, default = provider_specs(load(tmp_path, "{}", environ={"OPENAI_API_KEY": KEY}))
        assert default == "openai"
        assert [(spec.name, spec.base_url, spec.api_key) for spec in specs] == [
            ("openai", "https://api.openai.com/v1", KEY)
        ]
        assert KEY not in repr(specs)

    def test_what_providers_may_do_by_themselves_is_named(self, tmp_path: Path) -> None:
        several = "{providers: {ollama: {}, vllm: {}}, allow_provider_tools: [mcp, web_search]}"
        specs, _ = provider_specs(load(tmp_path, several))
        assert [spec.allow_tools for spec in specs] == [["mcp", "web_search"]] * 2
        (spec,), _ = provider_specs(load(tmp_path, "{provider: ollama}"))
        assert spec.allow_tools == []

    def test_a_name_that_is_none_is_told_with_the_nearest(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"p\.yaml:2: .*web_serch.*web_search"):
            load(tmp_path, "{provider: ollama, allow_provider_tools: [web_serch]}")

    @pytest.mark.parametrize(
        ("proxy", "private"),
        [
            ("{}", False),
            ("{provider: ollama}", True),
            ("{base_url: 'http://10.0.0.9/v1'}", True),
            ("{base_url: 'http://gpu-box:8000'}", True),
            ("{base_url: 'http://llm.internal/v1'}", True),
            ("{base_url: 'https://gateway.example.com/v1'}", True),
            ("{base_url: 'http://gateway.example.com/v1'}", False),
        ],
    )
    def test_which_may_be_in_a_private_network(
        self, tmp_path: Path, proxy: str, private: bool
    ) -> None:
        (spec,), _ = provider_specs(load(tmp_path, proxy, environ={"OPENAI_API_KEY": KEY}))
        assert spec.private is private

    @pytest.mark.parametrize(
        ("environ", "way"),
        [
            ({}, None),
            ({"HTTPS_PROXY": "http://gate:3128"}, "http://gate:3128"),
            ({"https_proxy": "gate:3128", "HTTPS_PROXY": "http://other"}, "http://gate:3128"),
            ({"ALL_PROXY": "http://me:secret-word@gate"}, "http://me:secret-word@gate"),
            ({"HTTP_PROXY": "http://gate:3128"}, None),
            ({"HTTPS_PROXY": "http://gate", "NO_PROXY": "localhost, .openai.com"}, None),
            ({"HTTPS_PROXY": "http://gate", "NO_PROXY": "api.openai.com:443"}, None),
            ({"HTTPS_PROXY": "http://gate", "NO_PROXY": "*"}, None),
            ({"HTTPS_PROXY": "http://gate", "NO_PROXY": "penai.com"}, "http://gate"),
        ],
    )
    def test_a_forward_proxy_of_the_environment_where_it_is_wanted(
        self, tmp_path: Path, environ: dict[str, str], way: str | None
    ) -> None:
        environ = environ | {"OPENAI_API_KEY": KEY}
        (spec,), _ = provider_specs(load(tmp_path, "{trust_env: true}", environ=environ))
        assert spec.forward_proxy == way
        assert "secret-word" not in repr(spec)
        (spec,), _ = provider_specs(load(tmp_path, "{}", environ=environ))
        assert spec.forward_proxy is None

    @pytest.mark.parametrize("url", ["socks5://gate:1080", "https://gate", "http://", "http://a:b"])
    def test_one_that_cannot_be_used_is_named(self, tmp_path: Path, url: str) -> None:
        environ = {"HTTPS_PROXY": url, "OPENAI_API_KEY": KEY}
        with pytest.raises(ConfigError, match="HTTPS_PROXY names no forward proxy"):
            provider_specs(load(tmp_path, "{trust_env: true}", environ=environ))

    def test_the_proxy_can_be_off(self, tmp_path: Path) -> None:
        assert provider_specs(load(tmp_path, "{enabled: false}")) == ([], "openai")

    @pytest.mark.parametrize(
        ("url", "used"),
        [
            ("http://localhost:11434", "http://localhost:11434/v1"),
            ("http://localhost:11434/v1/", "http://localhost:11434/v1"),
            ("http://gpu:8000/openai/v1", "http://gpu:8000/openai/v1"),
        ],
    )
    def test_a_local_server_needs_no_key_and_its_url_is_normalised(
        self, tmp_path: Path, url: str, used: str
    ) -> None:
        (spec,), _ = provider_specs(load(tmp_path, f"{{base_url: '{url}'}}"))
        assert (spec.base_url, spec.api_key) == (used, None)

    def test_the_key_may_come_from_the_dotenv_file(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text(f"MINE={KEY}\n")
        (spec,), _ = provider_specs(load(tmp_path, "{api_key_env: MINE}"))
        assert spec.api_key == KEY

    @pytest.mark.parametrize(
        ("proxy", "environ", "message"),
        [
            ("{}", {}, "environment variable OPENAI_API_KEY is not set"),
            ("{}", {"OPENAI_API_KEY": " "}, "environment variable OPENAI_API_KEY is not set"),
            ("{api_key_env: MINE, base_url: 'http://localhost:1'}", {}, "variable MINE is not set"),
            ("{base_url: 'ftp://x'}", {"OPENAI_API_KEY": KEY}, "provider openai: base_url 'ftp"),
            ("{base_url: 'https://k:p@x/v1'}", {"OPENAI_API_KEY": KEY}, "must not hold a user"),
            ("{rules: r.yaml}", {"OPENAI_API_KEY": KEY}, "are for the scripted provider"),
            ("{}", {"OPENAI_API_KEY": "sk-\u2026"}, "characters that no key has"),
            (
                "{base_url: 'https://a/v1', providers: {openai: {base_url: 'https://b/v1'}}}",
                {"OPENAI_API_KEY": KEY},
                "say different things",
            ),
        ],
    )
    def test_what_is_missing_or_wrong_is_named(
        self, tmp_path: Path, proxy: str, environ: dict[str, str], message: str
    ) -> None:
        with pytest.raises(ConfigError, match=message):
            provider_specs(load(tmp_path, proxy, environ=environ))

    def test_several_providers_the_first_is_the_default(self, tmp_path: Path) -> None:
        proxy = "{providers: {scripted: {}, openai: {base_url: 'http://localhost:1/v1'}}}"
        specs, default = provider_specs(load(tmp_path, proxy))
        assert default == "scripted"
        assert {spec.name for spec in specs} == {"scripted", "openai"}

    def test_the_short_form_is_about_the_default_provider(self, tmp_path: Path) -> None:
        proxy = (
            "{provider: openai, base_url: 'http://localhost:1', api_key_env: MINE, "
            "providers: {scripted: {}}}"
        )
        specs, default = provider_specs(load(tmp_path, proxy, environ={"MINE": KEY}))
        assert default == "openai"
        by_name = {spec.name: spec for spec in specs}
        assert by_name["openai"].base_url == "http://localhost:1/v1"
        assert by_name["openai"].api_key == KEY
        assert by_name["scripted"].api_key is None


class TestRules:
    SCRIPTED = "{provider: scripted, rules: rules.yaml}"

    def test_are_read_from_yaml_and_json(self, tmp_path: Path) -> None:
        rules = [{"contains": "two", "reply": "4"}]
        (tmp_path / "rules.yaml").write_text("# a rule\n- contains: two\n  reply: '4'\n")
        (spec,), _ = provider_specs(load(tmp_path, self.SCRIPTED))
        assert spec.rules == rules
        (tmp_path / "rules.json").write_text(json.dumps(rules))
        (spec,), _ = provider_specs(load(tmp_path, "{provider: scripted, rules: rules.json}"))
        assert spec.rules == rules

    def test_without_a_file_it_echoes(self, tmp_path: Path) -> None:
        (spec,), _ = provider_specs(load(tmp_path, "{provider: scripted}"))
        assert (spec.kind, spec.rules) == ("scripted", None)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (None, r"rules\.yaml: the rules cannot be read: No such file"),
            ("- reply: a\n- rply: b\n", r"rules\.yaml:2: rule 2: unknown key 'rply'"),
            ("- reply: a\n  match: '('\n", r"rules\.yaml:1: rule 1: `match` is no regular"),
            ("- reply: a\n  reply: b\n", r"rules\.yaml:2: duplicate key 'reply', first on line 1"),
            ("a: 1\n", "have to be a list"),
            ("- [\n", r"rules\.yaml:2: not YAML"),
        ],
    )
    def test_faults_have_their_line(self, tmp_path: Path, text: str | None, message: str) -> None:
        if text is not None:
            (tmp_path / "rules.yaml").write_text(text)
        with pytest.raises(ConfigError, match=message):
            provider_specs(load(tmp_path, self.SCRIPTED))

    def test_broken_json_has_its_line(self, tmp_path: Path) -> None:
        (tmp_path / "rules.json").write_text('[\n{"reply": }]')
        with pytest.raises(ConfigError, match=r"rules\.json:2: not JSON"):
            provider_specs(load(tmp_path, "{provider: scripted, rules: rules.json}"))


class TestAgentEnvironment:
    def clean(
        self, tmp_path: Path, agent: str, environ: Mapping[str, str]
    ) -> tuple[dict[str, str], list[str]]:
        loaded = load(tmp_path, "{}", environ=environ, agent=agent)
        return clean_agent_env(loaded.config.agents[0], loaded)

    def test_what_is_no_key_stays(self, tmp_path: Path) -> None:
        env, notices = self.clean(
            tmp_path, ", command: c, env: {MODEL: m, OPENAI_API_KEY: ''}", {"OPENAI_API_KEY": KEY}
        )
        assert env == {"MODEL": "m", "OPENAI_API_KEY": ""}
        assert notices == []

    def test_a_key_is_known_by_its_name(self, tmp_path: Path) -> None:
        env, notices = self.clean(tmp_path, ", command: c, env: {ANTHROPIC_API_KEY: anything}", {})
        assert env == {"ANTHROPIC_API_KEY": VIRTUAL_KEY}
        assert len(notices) == 1
        assert "env.ANTHROPIC_API_KEY" in notices[0]
        assert "anything" not in notices[0]

    def test_a_key_is_known_by_its_value_also_inside_a_text(self, tmp_path: Path) -> None:
        env, notices = self.clean(
            tmp_path,
            ", command: c, env: {MINE: '${OPENAI_API_KEY}', HEADER: 'Bearer ${OPENAI_API_KEY}'}",
            {"OPENAI_API_KEY": KEY},
        )
        assert env == {"MINE": VIRTUAL_KEY, "HEADER": f"Bearer {VIRTUAL_KEY}"}
        assert len(notices) == 2
        assert KEY not in "".join(notices)

    def test_a_key_that_begins_like_another_is_replaced_whole(self, tmp_path: Path) -> None:
        environ = {"OPENAI_API_KEY": KEY, "GROQ_API_KEY": f"{KEY}-and-more"}
        env, _ = self.clean(tmp_path, ", command: c, env: {MINE: '${GROQ_API_KEY}'}", environ)
        assert env == {"MINE": VIRTUAL_KEY}

    @pytest.mark.parametrize(
        "place",
        [
            ", command: 'c --key ${OPENAI_API_KEY}'",
            ", command: c, setup: 'login ${OPENAI_API_KEY}'",
            ", command: c, teardown: 'logout ${OPENAI_API_KEY}'",
            ", command: c, sandbox: {build: {args: {K: '${OPENAI_API_KEY}'}}}",
        ],
    )
    def test_a_key_in_a_command_or_build_argument_is_refused(
        self, tmp_path: Path, place: str
    ) -> None:
        with pytest.raises(ConfigError, match="holds a provider's real key") as caught:
            self.clean(tmp_path, place, {"OPENAI_API_KEY": KEY})
        assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:1/v1", True),
        ("http://127.0.0.2/v1", True),
        ("http://[::1]:1/v1", True),
        ("http://192.168.1.5/v1", True),
        ("http://gpu-box:8000/v1", True),
        ("http://host.docker.internal:1/v1", True),
        ("http://8.8.8.8/v1", False),
        ("https://api.openai.com/v1", False),
        ("https://localhost.example.com/v1", False),
    ],
)
def test_local_is_this_machine_and_its_private_network(url: str, local: bool) -> None:
    assert is_local(url) is local


class TestServices:
    SERVICE = "{name: s, image: i, healthcheck: {tcp: 1}"

    def load(self, tmp_path: Path, more: str) -> LoadedConfig:
        agent = f", command: c, services: [{self.SERVICE}{more}}}]"
        return load(tmp_path, "{}", environ={"OPENAI_API_KEY": KEY}, agent=agent)

    def test_a_key_is_the_virtual_one_and_there_is_none_unless_it_is_asked_for(
        self, tmp_path: Path
    ) -> None:
        env = (
            '{OPENAI_API_KEY: "${OPENAI_API_KEY}", URL: "http://x/?k=${OPENAI_API_KEY}", '
            f'ASKED: "{VIRTUAL_KEY}", MODE: fast}}'
        )
        loaded = self.load(tmp_path, f", env: {env}")
        (agent,) = loaded.config.agents
        cleaned, said = clean_service_env(agent, agent.services[0], loaded)
        assert cleaned == {
            "OPENAI_API_KEY": VIRTUAL_KEY,
            "URL": f"http://x/?k={VIRTUAL_KEY}",
            "ASKED": VIRTUAL_KEY,
            "MODE": "fast",
        }
        assert [line.split(" of service")[0] for line in said] == [
            "agent 'a': the key in env.OPENAI_API_KEY",
            "agent 'a': the key in env.URL",
        ]
        loaded = self.load(tmp_path, "")
        (agent,) = loaded.config.agents
        assert clean_service_env(agent, agent.services[0], loaded) == ({}, [])

    @pytest.mark.parametrize(
        ("more", "place"),
        [
            (', command: "x ${OPENAI_API_KEY}"', "services.s.command"),
            (', build: {args: {A: "${OPENAI_API_KEY}"}}', "services.s.build.args.A"),
        ],
    )
    def test_a_key_in_a_command_or_a_build_is_refused(
        self, tmp_path: Path, more: str, place: str
    ) -> None:
        if "build" in more:
            more = more.replace(", build", "}, {name: t, healthcheck: {tcp: 2}, build")
            place = place.replace("services.s", "services.t")
        loaded = self.load(tmp_path, more)
        (agent,) = loaded.config.agents
        with pytest.raises(ConfigError, match=f"{place} holds a provider's real key"):
            clean_service_env(agent, agent.services[-1], loaded)


class TestEveryProvider:
    @pytest.mark.parametrize(
        ("name", "variable", "url"),
        [
            ("anthropic", "ANTHROPIC_API_KEY", "https://api.anthropic.com"),
            ("gemini", "GEMINI_API_KEY", "https://generativelanguage.googleapis.com"),
            ("gemini", "GOOGLE_API_KEY", "https://generativelanguage.googleapis.com"),
            ("mistral", "MISTRAL_API_KEY", "https://api.mistral.ai/v1"),
            ("groq", "GROQ_API_KEY", "https://api.groq.com/openai/v1"),
            ("openrouter", "OPENROUTER_API_KEY", "https://openrouter.ai/api/v1"),
            ("together", "TOGETHER_API_KEY", "https://api.together.xyz/v1"),
            ("deepseek", "DEEPSEEK_API_KEY", "https://api.deepseek.com/v1"),
        ],
    )
    def test_has_its_own_key_and_address(
        self, tmp_path: Path, name: str, variable: str, url: str
    ) -> None:
        loaded = load(tmp_path, f"{{providers: {{{name}: {{}}}}}}", environ={variable: KEY})
        (spec,), default = provider_specs(loaded)
        assert (default, spec.kind, spec.base_url, spec.api_key) == (name, name, url, KEY)

    @pytest.mark.parametrize(
        ("name", "given", "used"),
        [
            ("anthropic", "http://localhost:1/v1/", "http://localhost:1"),
            ("gemini", "http://localhost:1/v1beta", "http://localhost:1"),
            ("azure_openai", "http://localhost:1/openai/v1/", "http://localhost:1"),
            ("azure_openai", "http://localhost:1/openai", "http://localhost:1"),
            ("groq", "http://localhost:1", "http://localhost:1/openai/v1"),
            ("openrouter", "http://localhost:1", "http://localhost:1/api/v1"),
            ("vllm", "http://localhost:1/v1", "http://localhost:1/v1"),
        ],
    )
    def test_takes_a_base_url_as_its_sdk_does(
        self, tmp_path: Path, name: str, given: str, used: str
    ) -> None:
        proxy = f"{{providers: {{{name}: {{base_url: '{given}'}}}}}}"
        (spec,), _ = provider_specs(load(tmp_path, proxy))
        assert spec.base_url == used

    def test_ollama_needs_nothing(self, tmp_path: Path) -> None:
        (spec,), _ = provider_specs(load(tmp_path, "{provider: ollama}"))
        assert (spec.base_url, spec.api_key) == ("http://localhost:11434/v1", None)

    def test_azure_has_no_address_of_its_own(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="azure_openai needs a base_url"):
            provider_specs(load(tmp_path, "{provider: azure_openai}"))


class TestBedrock:
    AWS: ClassVar = {
        "AWS_ACCESS_KEY_ID": "AKID",
        "AWS_SECRET_ACCESS_KEY": KEY,
        "AWS_REGION": "eu-west-1",
    }

    def test_aws_credentials_sign(self, tmp_path: Path) -> None:
        environ = self.AWS | {"AWS_SESSION_TOKEN": "token-secret"}
        (spec,), _ = provider_specs(load(tmp_path, "{provider: bedrock}", environ=environ))
        assert (spec.access_key_id, spec.api_key, spec.region) == ("AKID", KEY, "eu-west-1")
        assert spec.base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com"
        assert KEY not in repr(spec)
        assert "token-secret" not in repr(spec)

    def test_a_key_of_its_own_kind_is_sent_as_it_is(self, tmp_path: Path) -> None:
        environ = self.AWS | {"AWS_BEARER_TOKEN_BEDROCK": "bearer-secret"}
        loaded = load(tmp_path, "{provider: bedrock, region: us-west-2}", environ=environ)
        (spec,), _ = provider_specs(loaded)
        assert (spec.access_key_id, spec.api_key, spec.region) == (
            None,
            "bearer-secret",
            "us-west-2",
        )

    def test_without_a_region_it_says_so(self, tmp_path: Path) -> None:
        environ = self.AWS | {"AWS_REGION": ""}
        with pytest.raises(ConfigError, match="bedrock needs a region"):
            provider_specs(load(tmp_path, "{provider: bedrock}", environ=environ))

    def test_without_credentials_it_says_what_to_set(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(ConfigError, match=r"pacabench\[bedrock\]"):
            provider_specs(
                load(tmp_path, "{provider: bedrock}", environ={"AWS_REGION": "eu-west-1"})
            )

    def test_with_the_extra_a_profile_is_enough(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "credentials").write_text(
            f"[default]\naws_access_key_id = AKPROFILE\naws_secret_access_key = {KEY}\n"
        )
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        loaded = load(tmp_path, "{provider: bedrock}", environ={"AWS_REGION": "eu-west-1"})
        (spec,), _ = provider_specs(loaded)
        assert (spec.access_key_id, spec.api_key) == ("AKPROFILE", KEY)

    def test_a_region_is_for_bedrock_alone(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="`region` is for bedrock"):
            provider_specs(load(tmp_path, "{region: x}", environ={"OPENAI_API_KEY": KEY}))
