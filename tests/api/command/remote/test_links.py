"""`waypost links` on a running engine."""

import json
from pathlib import Path

import pytest

from tests.kit.commands import CommandLine, Ended
from tests.kit.engines import Engine

pytestmark = pytest.mark.slow
TARGET = "https://example.com/"


@pytest.fixture
def engine(running_engine: Engine) -> Engine:
    return running_engine


class LinkCommands:
    """Runs `waypost links` with the data folder of an engine."""

    def __init__(self, engine: Engine, command: CommandLine) -> None:
        self.engine = engine
        self.command = command
        self.data = ("--data", str(engine.folder))

    def __call__(self, *arguments: str) -> Ended:
        return self.command("links", *arguments, *self.data)

    def lines(self, *arguments: str) -> list[str]:
        ended = self(*arguments)
        assert (ended.code, ended.errors) == (0, ""), ended
        return ended.output.splitlines()

    def refusal(self, *arguments: str) -> str:
        return self.command.refusal("links", *arguments, *self.data)


@pytest.fixture
def links(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> LinkCommands:
    return LinkCommands(engine, CommandLine(monkeypatch, capfd))


def test_links_are_added_listed_edited_and_deleted(links: LinkCommands) -> None:
    [address] = links.lines("add", TARGET, "--title", "A title", "--tag", "x", "--tag", "y")
    slug = address.rpartition("/")[2]
    assert address == f"{links.engine.visitors}/{slug}"
    assert links.lines("add", TARGET, "--if-exists", "return") == [address]
    [listed] = links.lines("list", "--tag", "X", "--sort", "-created")
    shown, state, _, title, target = listed.split("\t")
    assert (shown, state, title, target) == (address, "active", "A title", TARGET)

    link = json.loads(links.lines("list", "--json", "-q", slug)[0])
    handle = link["url"].split("/")[-2]
    for name in (slug, f"{handle}/{slug}", address, link["url"], link["id"]):
        assert links.lines("open", "--print", name) == [address]
    edit = ("edit", slug, "--target", TARGET + "2", "--paused", "--tag", "", "--hidden")
    assert links.lines(*edit) == [address]
    [changed] = [json.loads(line) for line in links.lines("list", "--state", "paused", "--json")]
    assert (changed["target"], changed["tags"], changed["hidden"]) == (TARGET + "2", [], True)

    assert links.lines("delete", address) == [f"deleted {address}"]
    assert slug in links.refusal("delete", slug)


def test_options_are_set_and_cleared(links: LinkCommands) -> None:
    options = (
        "--slug", "all", "--folder", "F", "--notes", "N", "--external-id", "e-1", "--status", "301",
        "--password", "p", "--click-limit", "5", "--fallback-target", TARGET + "over",
        "--active-from", "2026-01-01T00:00:00Z", "--active-until", "2036-01-01T00:00:00+02:00",
    )  # fmt: skip
    [line] = links.lines("add", TARGET, *options, "--json")
    link = json.loads(line)
    assert (link["slug"], link["folder"], link["notes"], link["external_id"]) == (
        "all",
        "F",
        "N",
        "e-1",
    )
    assert (link["status"], link["has_password"], link["click_limit"]) == (301, True, 5)
    assert link["active_until"] == "2035-12-31T22:00:00Z"
    links.lines("edit", "all", "--quarantined")
    assert links.lines("list", "--state", "quarantined")[0].split("\t")[1] == "quarantined"
    clear = ("--password", "", "--click-limit", "0", "--active-from", "", "--active-until", "")
    link = json.loads(links.lines("edit", "all", *clear, "--json")[0])
    assert (link["has_password"], link["click_limit"]) == (False, None)
    assert (link["active_from"], link["active_until"]) == (None, None)


def test_targets_of_apps_and_extra_paths(links: LinkCommands) -> None:
    app = ("--kind", "app", "--web-target", TARGET, "--extra-path")
    assert "extra_path" in links.refusal("add", "tg://x", "--slug", "app", *app)
    link = json.loads(links.lines("add", "tg://x", "--slug", "app", *app[:-1], "--json")[0])
    assert (link["kind"], link["target"], link["web_target"]) == ("app", "tg://x", TARGET)
    [line] = links.lines("add", TARGET + "{1}", "--slug", "further", "--extra-path", "--json")
    assert json.loads(line)["target"] == TARGET + "{1}"
    assert "kind 'tel'" in links.refusal("add", "tel:+39")


def test_a_slug_of_several_profiles_is_told_apart(links: LinkCommands) -> None:
    with links.engine.api() as client:
        for handle in ("ada", "bob"):
            assert client.post("/v1/profiles", json={"handle": handle}).status_code == 201
    for handle in ("ada", "bob"):
        links.lines("add", TARGET + handle, "--slug", "same", "--profile", handle)
    links.lines("edit", "same", "--profile", "bob", "--title", "Bob's")
    [listed] = links.lines("list", "--profile", "@bob", "--limit", "1")
    assert listed.split("\t")[3:] == ["Bob's", TARGET + "bob"]
    assert links.lines("delete", "ada/same", "bob/same") == [
        f"deleted {links.engine.visitors}/same",
        f"deleted {links.engine.visitors}/bob/same",
    ]


def test_a_confusable_slug_is_noted(links: LinkCommands) -> None:
    ended = links("add", TARGET, "--slug", "p\u0430ypal")
    assert ended.code == 0
    assert ended.errors.startswith("note: slug ")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("add", "javascript:x"), "target"),
        (("add", ""), "target"),
        (("add", TARGET, "--slug", "a b", "--active-from", "soon"), "slug"),
        (("add", TARGET, "--profile", "nobody"), "no profile"),
        (("list", "--profile", "nobody"), "no profile"),
        (("edit", "nothing", "--title", "x"), "there is no link 'nothing'"),
        (("edit", "nothing"), "nothing to change"),
        (("delete", "https://elsewhere.example/x"), "there is no link"),
        (("delete", ""), "there is no link"),
        (("delete",), "--help"),
        (("open", "99999999999999999999"), "there is no link"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    links: LinkCommands, arguments: tuple[str, ...], reason: str
) -> None:
    assert reason in links.refusal(*arguments)


def test_a_key_may_come_from_the_environment(
    links: LinkCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYPOST_CONSOLE_URL", links.engine.console)
    monkeypatch.setenv("WAYPOST_API_KEY", links.engine.owner["api_key"])
    assert links.command("links", "list", "--limit", "1").code == 0
    monkeypatch.setenv("WAYPOST_API_KEY", "wp_unknown")
    assert "key" in links.command.refusal("links", "list")


def test_a_missing_engine_is_one_line(links: LinkCommands, tmp_path: Path) -> None:
    line = links.command.refusal("links", "list", "--data", str(tmp_path))
    assert "owner.json" in line
    owner = {**links.engine.owner, "console_url": "http://127.0.0.1:9"}
    (tmp_path / "owner.json").write_text(json.dumps(owner))
    line = links.command.refusal("links", "list", "--data", str(tmp_path))
    assert "is the engine running?" in line
    (tmp_path / "owner.json").write_text("{")
    assert "cannot be read" in links.command.refusal("links", "list", "--data", str(tmp_path))
