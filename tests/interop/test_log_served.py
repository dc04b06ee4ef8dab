"""The log of a service as it runs: one JSON object a line, joined to answers by the request's id."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import Request, urlopen

from tests.support.service import Service


def test_every_line_is_an_object_and_names_its_request(tmp_path: Path) -> None:
    service = Service(tmp_path / "data")
    service.add_account("zebulon", "correct horse")
    toml = service.data / "safehold.toml"
    text = toml.read_text().replace('format = "text"', 'format = "json"').replace("access = false", "access = true")
    toml.write_text(text)
    try:
        service.start("--json")
        asked = Request(f"http://127.0.0.1:{service.port}/readyz", headers={"X-Request-Id": "not-from-a-proxy"})
        with urlopen(asked, timeout=10) as answer:
            id_ = answer.headers["x-request-id"]
            assert json.load(answer)["ready"] is True
        assert service.stop() == 0
    finally:
        service.close()
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith('{"time"')]
    told = [line for line in lines if line.get("place") == "/readyz"]
    assert [(line["request"], line["status"], line["level"]) for line in told] == [(id_, 200, "info")]
    assert "zebulon" not in json.dumps(lines)
