"""`excel=1`: every CSV of the API may begin with a byte order mark."""

import re
from typing import Any

from engine.common.export import BYTE_ORDER_MARK
from tests.kit.consoles import Console

ARMS = [{"name": name, "weight": 1, "target": f"https://{name}.example/"} for name in "ab"]


async def files(console: Console) -> dict[str, str]:
    """Return each path of the reference that answers with CSV, filled in, by its rule."""
    profile = (await console.profile())["id"]
    link = (await console.link(profile))["id"]
    draft = {"name": "t", "kind": "destination", "link_id": link, "variants": ARMS}
    made = await console.call("POST", f"/v1/profiles/{profile}/experiments", draft)
    experiment = made.json["id"]
    await console.call("POST", f"/v1/experiments/{experiment}/start")
    ids = {"profile_id": profile, "experiment_id": experiment}
    paths = (await console.call("GET", "/openapi.json", key="")).json["paths"]
    return {
        path: re.sub(r"{(\w+)}", lambda match: ids[match[1]], path)
        for path, methods in paths.items()
        if "text/csv"
        in methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
    }


async def test_every_csv_takes_the_parameter_and_no_other_value() -> None:
    console = Console()
    csv_files = await files(console)
    assert len(csv_files) >= 6
    document = (await console.call("GET", "/openapi.json", key="")).json
    for rule, path in csv_files.items():
        parameters: list[dict[str, Any]] = document["paths"][rule]["get"]["parameters"]
        names = {parameter.get("name") for parameter in parameters}
        query = "format=csv&" if "format" in names else ""
        plain = await console.call("GET", f"{path}?{query}")
        assert plain.status == 200, (rule, plain.body)
        assert plain.headers["Content-Type"].startswith("text/csv"), rule
        marked = await console.call("GET", f"{path}?{query}excel=1")
        assert marked.body == BYTE_ORDER_MARK + plain.body, rule
        for bad in ("excel=0", "excel=1&excel=1", "excel="):
            refused = await console.call("GET", f"{path}?{query}{bad}")
            assert "excel" in refused.problem(422), (rule, bad)
        if "format" in names:
            refused = await console.call("GET", f"{path}?format=ndjson&excel=1")
            assert "excel" in refused.problem(422), rule
