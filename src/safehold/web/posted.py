"""Forms of our pages on their way back: the fields, once it is sure that no page of another site has sent them."""

from __future__ import annotations

from starlette.requests import Request

from safehold.model.items import Account
from safehold.model.token import account_key
from safehold.protocol.forms import MAX_FORM_BYTES, check_form_token, check_from_here, form_token, read_form
from safehold.service.uses import DAY_MICROSECONDS
from safehold.web.answers import read_body
from safehold.web.gate import Gate
from safehold.web.layout import escape
from safehold.web.pages import Site


async def posted_fields(gate: Gate, request: Request, account: Account) -> dict[str, str]:
    """Raises Forbidden, and as the parts do. `account` has signed in with this very request."""
    header = request.headers.get
    own = {Site.of(request, "").origin, Site.of(request, gate.public_url).origin}
    check_from_here(header("sec-fetch-site"), header("origin"), own)
    fields = read_form(header("content-type", ""), await read_body(request, MAX_FORM_BYTES))
    check_form_token(account_key(gate.token_key, account.id), _today(gate), fields.get("token", ""))
    return fields


def hidden_fields(gate: Gate, account: Account, fields: dict[str, str]) -> str:
    """What a form has to carry, as HTML: its fields that nobody types, and the token that makes it ours."""
    token = form_token(account_key(gate.token_key, account.id), _today(gate))
    return "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">'
        for name, value in {"token": token, **fields}.items()
        if value
    )


def _today(gate: Gate) -> int:
    return gate.clock.now() // DAY_MICROSECONDS
