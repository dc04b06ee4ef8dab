"""Every incident and alarm in the source has a runbook: by its `what`, or one that it names itself."""

from __future__ import annotations

import ast
from pathlib import Path

from safehold.proof.runbook_names import RUNBOOK_OF, RUNBOOKS

SOURCE = Path(__file__).resolve().parents[2] / "src" / "safehold"
#: Where incidents and conditions are made. Elsewhere `what` is another word.
PLACES = ("assembly", "proof", "service/incidents.py", "service/postbox.py", "adapters")
#: Of notices to people, and of a test that is no alarm.
NOT_INCIDENTS = {"alarm test", "restored", "mass-delete"}


def files() -> list[Path]:
    found: list[Path] = []
    for place in PLACES:
        path = SOURCE / place
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return found


def constants(tree: ast.Module) -> dict[str, str]:
    """Names that a module gives to texts."""
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def texts(node: ast.expr, names: dict[str, str]) -> list[str]:
    """What an expression may be, as far as it is written out."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.Name) and node.id in names:
        return [names[node.id]]
    if isinstance(node, ast.IfExp):
        return texts(node.body, names) + texts(node.orelse, names)
    return []


def told(path: Path) -> list[tuple[str, bool]]:
    """(what, whether a runbook is named beside it) of each incident or condition that a module makes."""
    text = path.read_text(encoding="utf-8")
    if "what" not in text and ".note(" not in text:
        return []
    tree = ast.parse(text)
    names, found = constants(tree), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys = {k.value: v for k, v in zip(node.keys, node.values, strict=True) if isinstance(k, ast.Constant)}
            if "what" in keys and {"message", "summary"} & set(keys):
                found += [(what, "runbook" in keys) for what in texts(keys["what"], names)]
        elif isinstance(node, ast.Call):
            given = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if "what" in given and "message" in given:
                found += [(what, "runbook" in given) for what in texts(given["what"], names)]
            elif name == "note" and "message" in given and node.args:
                found += [(what, False) for what in texts(node.args[0], names)]
    return found


def test_every_incident_in_the_source_has_a_runbook() -> None:
    found = [(what, named, path.name) for path in files() for what, named in told(path)]
    whats = {what for what, _, _ in found}
    assert {"vault missing", "core damaged", "core missing", "vault drops", "mail"} <= whats, "it looks in vain"
    lacking = {
        (what, where)
        for what, named, where in found
        if not named and what not in RUNBOOK_OF and what not in NOT_INCIDENTS
    }
    assert lacking == set()


def test_every_runbook_that_is_named_is_known() -> None:
    assert set(RUNBOOK_OF.values()) <= set(RUNBOOKS)
