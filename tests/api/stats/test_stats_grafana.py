"""`docs/grafana/waypost.json`: its queries are calls of the API, and its columns are in the answers."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

from engine.clicks.dimension import BY_NAME
from engine.stats.result import MetricValues, Stats, StatsRow
from tests.architecture.sources import ROOT
from tests.kit.consoles import NOW, Console

DASHBOARD: dict[str, Any] = json.loads((ROOT / "docs/grafana/waypost.json").read_text())
TARGETS = [target for panel in DASHBOARD["panels"] for target in panel["targets"]]
VARIABLE = re.compile(r"\$\{(\w+)(?::date:iso)?\}")


async def test_each_query_is_answered_to_a_share() -> None:
    console = Console()
    profile = (await console.profile())["id"]
    draft = {
        "label": "Grafana",
        "metrics": ["clicks", "visitors", "views"],
        "dimensions": ["country", "source", "device"],
    }
    created = await console.call("POST", f"/v1/profiles/{profile}/shares", draft)
    # As Grafana fills them in: the times of the picker, and the dashboard's variables.
    values = {
        "__from": "2026-02-15T10:07:00.000Z",
        "__to": "2026-03-15T10:07:00.123Z",
        "profile": profile,
        "zone": "Europe/Rome",
    }
    [interval] = [v for v in DASHBOARD["templating"]["list"] if v["name"] == "interval"]
    assert len(TARGETS) == 7
    for target in TARGETS:
        for chosen in interval["query"].split(","):
            filled = values | {"interval": chosen}
            text = VARIABLE.sub(partial(_value, filled), json.dumps(target | {"datasource": {}}))
            await _asked(console, json.loads(text), created.json["token"])


def _value(values: Mapping[str, str], variable: re.Match[str]) -> str:
    return values[variable[1]]


async def _asked(console: Console, target: dict[str, Any], token: str) -> None:
    """Ask a target's question as the data source does, and look for its columns in the answer."""
    pairs = [(pair["key"], pair["value"]) for pair in target["url_options"]["params"]]
    group = dict(pairs)["group"]
    row = (
        StatsRow(datetime(2026, 3, 1, tzinfo=UTC), 3, 1, 0, 2)
        if group not in BY_NAME
        else StatsRow(None, 3, 1, 0, 2, ("x",))
    )
    console.stats.answer = Stats(rows=(row,), as_of=NOW, totals=MetricValues(3, 1, 0, 2))
    response = await console.call("GET", f"{target['url']}?{urlencode(pairs)}", key=token)
    assert response.status == 200, response.body
    part = response.json[target["root_selector"]]
    for column in target["columns"]:
        assert column["selector"] in (part[0] if isinstance(part, list) else part)


def test_it_names_no_variable_that_it_does_not_have() -> None:
    known = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert set(VARIABLE.findall(json.dumps(TARGETS))) == known | {"__from", "__to"}
