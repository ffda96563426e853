"""What an audit's end comes to for whoever asked."""

from pathlib import Path

import pytest

from pacabench.audit.attack import Status, Verdict
from pacabench.audit.catalogue import select
from pacabench.audit.summary import summarise_audit
from pacabench.cli import auditing
from pacabench.cli.exit import ExitCode
from pacabench.store.audits import AuditKey

ATTACKS = select(["network.wan", "network.vsock", "privilege.mount"])


@pytest.mark.parametrize(
    ("last", "code", "said"),
    [
        (Status.HELD, ExitCode.DONE, "3 held, 0 BROKEN"),
        (Status.NOT_APPLICABLE, ExitCode.DONE, "1 not applicable"),
        (Status.UNPROVEN, ExitCode.ERROR, "was not shown to hold"),
        (Status.BROKEN, ExitCode.ERROR, "Do not run agents that you do not trust here"),
    ],
)
def test_only_what_was_shown_to_hold_is_a_success(
    last: Status,
    code: ExitCode,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    statuses = (Status.HELD, Status.HELD, last)
    verdicts = [
        Verdict(attack, status, "because", {}, {}, 0.1)
        for attack, status in zip(ATTACKS, statuses, strict=True)
    ]
    summary = summarise_audit(AuditKey("engine", "1", "strict"), "Docker 1", verdicts)

    async def audited(*_: object) -> object:
        return auditing._Audited(verdicts, summary)

    monkeypatch.setattr(auditing, "_audit", audited)

    assert (
        auditing.run_audit([attack.id for attack in ATTACKS], cache_dir=tmp_path, as_json=False)
        == code
    )
    assert said in " ".join(capsys.readouterr().out.split())  # lines break where they have to
