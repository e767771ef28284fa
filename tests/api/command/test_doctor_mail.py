"""`waypost doctor` on the mail server."""

from pathlib import Path

from api.command.doctor import Doctor
from engine.operations.settings import Settings
from tests.kit.mail_servers import mail_server


def settings(url: str) -> Settings:
    return Settings(smtp_url=url, mail_from="Waypost <waypost@example.com>")


async def test_a_mail_server_is_asked_and_gets_no_mail(tmp_path: Path) -> None:
    with mail_server() as kept:
        doctor = Doctor(settings(f"smtp+plain://127.0.0.1:{kept.port}"), tmp_path)
        await doctor.check_mail()
        without_tls = Doctor(settings(f"smtp://u:secret@127.0.0.1:{kept.port}"), tmp_path)
        await without_tls.check_mail()
    away = Doctor(settings(f"smtps://u:secret@127.0.0.1:{kept.port}"), tmp_path)
    await away.check_mail()
    none = Doctor(Settings(), tmp_path)
    await none.check_mail()
    findings = [d.findings[0] for d in (doctor, without_tls, away, none)]
    assert [finding.state for finding in findings] == ["ok", "fail", "fail", "ok"]
    assert "STARTTLS" in findings[1].text
    assert not any("secret" in finding.text for finding in findings)
    assert kept.envelopes == []
