"""The look of the plain pages: one style sheet, one frame, the headers that keep a page to itself.

Nothing is loaded from anywhere: style and icon stand in the page, and the policy that goes with it allows just these,
by the digest of the one and as `data:` the other. Whatever comes from outside passes through `escape`.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from http import HTTPStatus
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse

from safehold.model.errors import SafeholdError
from safehold.protocol.problems import headers_of, status_of, told
from safehold.web.words import Words, chosen

__all__ = ["escape", "page", "page_text", "refuse_page", "table", "words_of"]

STYLE = """
:root{color-scheme:light dark;--paper:#fbfaf7;--card:#fff;--ink:#1d2b2a;--soft:#5c6b69;--line:#e1ddd3;--mark:#0b6b61;
--good:#1c7c3c;--warn:#9a5b00;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--paper:#121817;--card:#1a2221;--ink:#e6ece9;--soft:#9aaba7;--line:#2d3836;
--mark:#62c9ba;--good:#6fcf8a;--warn:#e5b35c;--bad:#f28b82}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:17px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header,main,footer{max-width:60rem;margin:0 auto;padding:0 1.25rem}
header{display:flex;align-items:center;gap:.75rem;padding-top:1.25rem;padding-bottom:1.25rem}
header svg{width:2rem;height:2rem;flex:none}
header .name{font-weight:650;font-size:1.2rem;letter-spacing:-.01em;color:inherit;text-decoration:none}
nav{margin-left:auto;display:flex;flex-wrap:wrap;justify-content:flex-end;gap:.25rem 1.25rem;min-width:0}
nav a{white-space:nowrap}
nav span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
a{color:var(--mark);text-underline-offset:.2em}
a:focus-visible{outline:2px solid var(--mark);outline-offset:3px;border-radius:2px}
h1{font-size:clamp(1.7rem,5vw,2.5rem);line-height:1.15;letter-spacing:-.02em;margin:1.5rem 0 .75rem;max-width:24em;
text-wrap:balance}
h2{font-size:1.25rem;margin:2.5rem 0 .75rem;letter-spacing:-.01em}
h3{font-size:1.02rem;margin:0 0 .35rem}
p{margin:.5rem 0;max-width:42em}
.lead{font-size:1.1rem;color:var(--soft)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,17rem),1fr));gap:1rem}
p+.cards,.card+p,.wide+p{margin-top:1rem}
.lead+.cards,.lead+.wide{margin-top:1.5rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1rem 1.15rem;min-width:0}
.card>:first-child,.card>form>:first-child{margin-top:0}
.card>:last-child{margin-bottom:0}
.card p{color:var(--soft);font-size:.95rem}
code,.address{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.address{display:block;background:var(--paper);border:1px solid var(--line);border-radius:8px;padding:.5rem .7rem;
margin:.5rem 0;overflow-wrap:anywhere;user-select:all}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:12px}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.6rem 1.15rem;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-size:.82rem;font-weight:600;color:var(--soft)}
tr:last-child td{border-bottom:0}
@media(max-width:40rem){.many thead{display:none}.many tr{display:block;padding:.5rem 0;
border-bottom:1px solid var(--line)}.many tr:last-child{border-bottom:0}
.many td,.many td.number{display:flex;justify-content:space-between;gap:1rem;border:0;padding:.2rem 1.15rem}
.many td::before{content:attr(data-column);color:var(--soft)}}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
.state{font-size:1.1rem;font-weight:600}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.card ul.uses{margin:.25rem 0;padding:0;list-style:none;font-size:.95rem;overflow-wrap:anywhere}
.uses li{margin:.35rem 0}
.uses span{color:var(--soft)}
.card *+form{margin-top:.75rem}
fieldset{border:0;margin:0 0 1rem;padding:0}
legend,.field{display:block;padding:0;font-weight:600}
.choice{display:block;padding:.4rem 0}
input[type=radio]{accent-color:var(--mark);width:1.1rem;height:1.1rem;margin:0 .5rem 0 0;vertical-align:-.15rem}
.field input{display:block;width:100%;max-width:24rem;margin:.4rem 0 1rem;padding:.6rem .7rem;
font:inherit;font-weight:400;color:inherit;background:var(--paper);border:1px solid var(--line);border-radius:8px}
button{font:inherit;font-weight:600;padding:.6rem 1.1rem;border:1px solid var(--mark);border-radius:8px;cursor:pointer;
background:var(--mark);color:var(--card)}
select{display:block;width:100%;max-width:24rem;margin:.4rem 0 1rem;padding:.6rem .7rem;font:inherit;font-weight:400;
color:inherit;background:var(--paper);border:1px solid var(--line);border-radius:8px}
button.plain{background:none;color:var(--bad);border-color:var(--line);padding:.35rem .8rem;font-size:.95rem}
button:focus-visible,input:focus-visible{outline:2px solid var(--mark);outline-offset:2px}
.side{display:flex;flex-wrap:wrap;gap:1.25rem;align-items:flex-start}
.side>div{flex:1 1 17rem;min-width:0}
.qr{width:min(100%,15rem);height:auto;border-radius:12px;border:1px solid var(--line)}
.note{border-left:3px solid var(--warn);padding:.1rem 0 .1rem 1rem;margin:1rem 0}
footer{margin-top:3.5rem;padding-bottom:2rem;color:var(--soft);font-size:.9rem}
footer p:first-child{border-top:1px solid var(--line);padding-top:1rem;max-width:none}
progress{accent-color:var(--mark);display:block;width:min(8rem,100%);height:.7rem}
button.quiet{background:none;color:var(--ink);border-color:var(--line);padding:.35rem .8rem;font-size:.95rem}
.note form{margin:.5rem 1rem .5rem 0;display:inline-block}
.log{list-style:none;margin:1.5rem 0;padding:0;background:var(--card);border:1px solid var(--line);border-radius:12px}
.log li{padding:.6rem 1.15rem;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
.log li:last-child{border-bottom:0}
.log small{display:block;color:var(--soft);font-size:.9rem}
.note ul{margin:.25rem 0;padding-left:1.25rem}
"""

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"{attributes}>'
    '<rect x="2" y="2" width="28" height="28" rx="8" fill="#0b6b61"/>'
    '<circle cx="16" cy="16" r="8" fill="none" stroke="#fff" stroke-width="2.4"/>'
    '<path d="M16 16V10.6M16 16l4.7 2.7M16 16l-4.7 2.7" stroke="#fff" stroke-width="2.4" stroke-linecap="round"/></svg>'
)
_LOGO = _ICON.format(attributes=' aria-hidden="true"')
_ICON_URL = "data:image/svg+xml," + quote(_ICON.format(attributes=""))

_STYLE_DIGEST = b64encode(sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
    "vary": "Authorization, Accept, Accept-Language",
}


#: For a page with forms: they go to this server alone, and say that they come from it.
FORM_HEADERS = HEADERS | {
    "content-security-policy": HEADERS["content-security-policy"].replace("form-action 'none'", "form-action 'self'"),
    "referrer-policy": "same-origin",
}


ENGLISH = Words()


def words_of(request: Request) -> Words:
    """The language that a request is answered in."""
    return chosen(request.query_params.get("lang"), request.headers.get("accept-language"))


def page(
    title: str,
    main: str,
    *,
    status: int = 200,
    name: str | None = None,
    headers: dict[str, str] = HEADERS,
    words: Words = ENGLISH,
    here: str = "",
    feed: str = "",
) -> HTMLResponse:
    """A whole page. `main` is HTML; `title` and the account's `name` are text.

    `here` is its path where it is there in both languages, `feed` the path of what tells the same to feed readers.
    """
    who = (
        f'<a href="/account/state">{words("nav.state")}</a><a href="/history">{words("nav.history")}</a>'
        f'<a href="/devices">{words("nav.devices")}</a><span>{escape(name)}</span>'
        if name is not None
        else f'<a href="/sign-in">{words("nav.sign-in")}</a>'
    )
    nav = f'<nav><a href="/status">{words("nav.status")}</a>{who}</nav>'
    switch = f"{here}?lang={words.other}" if here else ""
    return HTMLResponse(page_text(title, main, words=words, nav=nav, switch=switch, feed=feed), status, headers)


def page_text(title: str, main: str, *, words: Words, nav: str = "", switch: str = "", feed: str = "") -> str:
    """A page as text, to be published anywhere: `nav` is HTML, `switch` the URL of the other language."""
    other = words("other-language")
    language = f'<p><a href="{escape(switch)}" hreflang="{words.other}">{other}</a></p>' if switch else ""
    alternate = f'<link rel="alternate" type="application/atom+xml" href="{escape(feed)}">' if feed else ""
    root = '<a class="name" href="/">Safehold</a>' if nav else '<span class="name">Safehold</span>'
    return (
        "<!doctype html>\n"
        f'<html lang="{words.lang}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="{_ICON_URL}">{alternate}<style>{STYLE}</style></head>'
        f"<body><header>{_LOGO}{root}{nav}</header>"
        f"<main>{main}</main>"
        f"<footer><p>{words('foot')}</p>{language}</footer>"
        "</body></html>\n"
    )


#: As many fit a small screen.
_FEW_COLUMNS = 3


def table(columns: list[str], rows: list[list[str]], *, numbers: frozenset[int] = frozenset()) -> str:
    """A table as HTML. Cells are HTML; columns in `numbers` are set right.

    On a small screen the cells of one with many columns stand below each other, each beside its column's name.
    """
    marks = [' class="number"' if i in numbers else "" for i in range(len(columns))]
    head = "".join(f"<th{mark}>{column}</th>" for mark, column in zip(marks, columns, strict=True))
    named = [f'{mark} data-column="{column}"' for mark, column in zip(marks, columns, strict=True)]
    body = "".join(
        "<tr>" + "".join(f"<td{mark}>{cell}</td>" for mark, cell in zip(named, row, strict=True)) + "</tr>"
        for row in rows
    )
    class_ = "wide many" if len(columns) > _FEW_COLUMNS else "wide"
    return f'<div class="{class_}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def refuse_page(request: Request, error: SafeholdError, dice: int) -> HTMLResponse:
    """An error as a page for people."""
    status = status_of(error)
    words = words_of(request)
    title = words.either(f"error.{status}", HTTPStatus(status).phrase)
    message, hint = told(error)
    said = f'<h1>{title}</h1><p class="lead">{escape(_sentence(message))}</p>'
    if hint:
        said += f"<p>{escape(_sentence(hint))}</p>"
    if status in (503, 507):
        said += f"<p>{words('nothing-deleted')}</p>"
    response = page(title, said, status=status, words=words)
    response.raw_headers += headers_of(error, status, dice)
    return response


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
