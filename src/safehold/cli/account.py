"""Accounts: whose data it is, and how their devices sign in."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from safehold.cli.context import Context, account_named
from safehold.cli.exits import UsageError
from safehold.cli.output import Answer, Table, count_text, is_terminal, time_text
from safehold.cli.parser import Parser

if TYPE_CHECKING:
    from safehold.model.items import Account
    from safehold.ports.core import CoreReads

EXAMPLE = "safehold account add ada"

MAX_PASSWORD_BYTES = 1024
#: Accounts without a name that are looked through.
MOST_NAMELESS = 1_000_000


def configure(parser: Parser) -> None:
    add = parser.command(
        "add",
        "add an account",
        "printf '%s' \"$SECRET\" | safehold account add ada --password-stdin",
        _add,
        "Adds an account with an address book, calendars, and folders for notes and photos.",
    )
    _name(add)
    _password(add)
    listing = parser.command("list", "list the accounts", "safehold account list --json", _list)
    listing.add_argument(
        "--erased", action="store_true", help="instead: those that were erased, and by when no copy is left"
    )
    passwd = parser.command("passwd", "replace an account's password", "safehold account passwd ada", _passwd)
    _name(passwd)
    _password(passwd)
    naming = parser.command(
        "name",
        "give an account whose name was lost a name again",
        "safehold account name 11daeb09af1d64ef2edef25b186a4a1e ada",
        _give_name,
        "Names an account of which a recovery has brought back the data and not the name, for that was in no source. "
        "Its devices find it again under the name that they know. `account list` has its id.",
    )
    naming.add_argument("id", metavar="ID", help="the account's id, or enough of its beginning to tell it from others")
    _name(naming)
    _password(naming)
    app = parser.command(
        "app-password",
        "make a password for one device",
        "safehold account app-password ada --label phone",
        _app_password,
        "Makes a random password for one device and prints it once. It can be revoked without touching the others.",
    )
    _name(app)
    app.add_argument("--label", metavar="LABEL", help="what to call the device (default: device-1, device-2 …)")
    other = app.add_mutually_exclusive_group()
    other.add_argument("--revoke", metavar="LABEL", help="instead: make the password of this label useless at once")
    other.add_argument("--list", action="store_true", help="instead: list them, and which programs used them when")
    mail = parser.command(
        "mail",
        "where an account's owner is written to",
        "safehold account mail ada ada@example.org",
        _mail,
        "Where the owner of an account is told of a recovery, of what did not come back, and of a mass delete. It "
        "needs [mail] in the configuration. Without an address it says which one is there.",
    )
    _name(mail)
    mail.add_argument("address", metavar="ADDRESS", nargs="?", help="the address; an empty one takes it away")
    mail.add_argument("--lang", choices=("en", "es"), help="the language of letters (default: as it was, else en)")
    erase = parser.command(
        "erase",
        "erase an account and all its data",
        "safehold account erase ada --yes",
        _erase,
        "Drops an account with all it holds from the core and enters it in the register of erased accounts, which "
        "every recovery honours, and says by which date no copy is left in any vault. Without --yes it only says what "
        "would go. Beyond a few accounts an hour ([brakes] erasures) an account is locked instead, and erased after "
        "grace_days; until then `account restore` takes it back.",
    )
    _name(erase)
    erase.add_argument("--yes", action="store_true", help="do it")
    erase.add_argument(
        "--now", action="store_true", help="with --yes: without a grace, however many there were; the name is asked for"
    )
    restore = parser.command(
        "restore",
        "take back an erasure whose grace is not over",
        "safehold account restore ada",
        _restore,
        "Unlocks an account that waits to be erased. It is as it was: nothing of it has gone.",
    )
    _name(restore)


def _mail(args: Namespace, context: Context) -> Answer:
    from safehold.model.commands import SetMail
    from safehold.service.addresses import address_of

    with context.installation().session() as session:
        account = account_named(session.reads, args.name)
        there = address_of(session.reads, account)
        lang = args.lang or (there.lang if there else "en")
        address = args.address if args.address is not None else there.address if there and args.lang else None
        if address is not None:
            session.execute(SetMail(account=account.id, address=address, lang=lang))
        elif there is not None:
            address, lang = there
    said = f"{args.name} is written to at {address}, in {lang}" if address else f"{args.name} is not written to"
    blocks: list[str | Table] = [said]
    if address and not context.config.mail.host:
        blocks.append("no mail is sent: [mail] of the configuration names no host")
    return Answer({"account": args.name, "mail": address or None, "lang": lang if address else None}, blocks)


def _name(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="the account's name")


def _password(parser: Parser) -> None:
    parser.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password from standard input (default: ask for it twice on the terminal)",
    )


def _add(args: Namespace, context: Context) -> Answer:
    from safehold.model.commands import AddAccount
    from safehold.service.identity import check_account_name

    check_account_name(args.name)
    password = read_password(args.password_stdin)
    with context.installation().session() as session:
        id_ = session.entropy.bytes(16)
        session.execute(AddAccount(account=id_, name=args.name, password=session.hasher.hash(password)))
    return Answer(
        {"account": args.name, "id": id_.hex()},
        [f"added the account {args.name}; the sync vaults hold it", "next: safehold serve"],
    )


def _give_name(args: Namespace, context: Context) -> Answer:
    from safehold.model.commands import NameAccount
    from safehold.service.identity import check_account_name

    check_account_name(args.name)
    with context.installation().session() as session:
        wanted = args.id.strip().lower()
        found = [a for a in session.reads.nameless(MOST_NAMELESS) if wanted and a.id.hex().startswith(wanted)]
        if len(found) != 1:
            raise UsageError(
                f"{'no account' if not found else 'more than one account'} without a name has an id that begins with "
                f"{args.id!r}",
                hint="safehold account list tells which there are",
            )
        password = read_password(args.password_stdin)
        session.execute(NameAccount(account=found[0].id, name=args.name, password=session.hasher.hash(password)))
    return Answer(
        {"account": args.name, "id": found[0].id.hex()},
        [f"{found[0].id.hex()} is {args.name} again, with a new password; app passwords that came back stay"],
    )


def _list(args: Namespace, context: Context) -> Answer:
    from safehold.service.erasing import erasing_accounts

    if args.erased:
        return _erased(context)
    with context.installation().session() as session, session.reads.snapshot() as reads:
        due = {erasing.id: erasing.due for erasing in erasing_accounts(reads)}
        accounts = [_described(reads, account, due.get(account.id)) for account in reads.accounts()]
    table = Table(
        ("name", "password", "app passwords", "listed", "to be erased"),
        [
            (
                a["name"] or f"(name lost) {a['id']}",
                "yes" if a["password"] else "no",
                len(a["app_passwords"]),
                "yes" if a["listed"] else "no",
                time_text(a["erases_at"]) if a["erases_at"] else "",
            )
            for a in accounts
        ],
    )
    return Answer({"accounts": accounts}, [table] if accounts else ["no accounts yet: safehold account add NAME"])


def _erased(context: Context) -> Answer:
    from safehold.recovery.retention import erased_by
    from safehold.service.erasures import erased_accounts

    policy = context.config.retention
    with context.installation().session() as session, session.reads.snapshot() as reads:
        rows = [(e.id.hex(), e.at, erased_by(e.at, policy)) for e in erased_accounts(reads)]
    accounts = [{"id": id_, "erased": at, "gone_by": gone} for id_, at, gone in rows]
    told = [(id_, time_text(at), time_text(gone)) for id_, at, gone in rows]
    blocks: list[str | Table] = [Table(("id", "erased", "no copy left by"), told)] if told else ["none was erased"]
    return Answer({"erased": accounts}, blocks)


def _described(reads: CoreReads, account: Account, due: int | None) -> dict[str, Any]:
    devices = _devices(reads, account)
    return {
        "name": account.name,
        "id": account.id.hex(),
        "listed": account.listed,
        "password": reads.secret(account.number, "password") is not None,
        "app_passwords": [device["label"] for device in devices],
        "devices": devices,
        "erases_at": due,
    }


def _devices(reads: CoreReads, account: Account) -> list[dict[str, Any]]:
    """App passwords with the days on which programs used them."""
    from safehold.service.uses import app_passwords

    return [
        {
            "label": known.label,
            "created": time_text(known.created or None) or None,
            "last_used": known.last_used,
            "programs": [{"program": program, "last_used": day} for program, day in known.programs],
        }
        for known in app_passwords(reads, account)
    ]


def _passwd(args: Namespace, context: Context) -> Answer:
    from safehold.model.commands import SetPassword

    with context.installation().session() as session:
        account = account_named(session.reads, args.name)
        password = read_password(args.password_stdin)
        session.execute(SetPassword(account=account.id, password=session.hasher.hash(password)))
    return Answer({"account": args.name}, [f"replaced the password of {args.name}; app passwords stay"])


def _app_password(args: Namespace, context: Context) -> Answer:
    from safehold.model.commands import AddAppPassword, RevokeAppPassword
    from safehold.service.auth import app_password_digest, make_app_password
    from safehold.service.uses import free_label

    if args.revoke is not None and args.label is not None:
        raise UsageError("--revoke names the label itself", hint="leave --label out")
    if args.list:
        if args.label is not None:
            raise UsageError("--list lists all of them", hint="leave --label out")
        return _app_passwords(args, context)
    with context.installation().session() as session:
        account = account_named(session.reads, args.name)
        if args.revoke is not None:
            session.execute(RevokeAppPassword(account=account.id, label=args.revoke))
            return Answer(
                {"account": args.name, "revoked": args.revoke}, [f"{args.revoke} can no longer sign in as {args.name}"]
            )
        label = args.label if args.label is not None else free_label(session.reads, account)
        secret = make_app_password(session.entropy)
        digest = app_password_digest(secret)
        assert digest is not None
        session.execute(AddAppPassword(account=account.id, label=label, sha256=digest))
    return Answer(
        {"account": args.name, "label": label, "password": secret},
        [secret, f"signs in as {args.name} under the label {label}; it is not shown again"],
    )


def _app_passwords(args: Namespace, context: Context) -> Answer:
    with context.installation().session() as session, session.reads.snapshot() as reads:
        devices = _devices(reads, account_named(reads, args.name))
    rows = [
        (
            d["label"],
            (d["created"] or "")[:10],
            d["last_used"] or "never",
            ", ".join(p["program"] for p in d["programs"]),
        )
        for d in devices
    ]
    table: str | Table = Table(("label", "made", "last used", "by"), rows) if rows else "no app passwords yet"
    return Answer({"account": args.name, "app_passwords": devices}, [table])


def _erase(args: Namespace, context: Context) -> Answer:
    from safehold.model.commands import EraseAccount
    from safehold.recovery.retention import erased_by

    installation = context.installation()
    if args.now:
        _type_again(args)
    due = 0
    with installation.session() as session:
        with session.reads.snapshot() as reads:
            account = account_named(reads, args.name)
            collections = [(c.path, str(c.kind), len(reads.items(c))) for c in reads.collections(account.number)]
        collections = [row for row in collections if row[1] != "identity"]
        if args.yes:
            due = session.execute(EraseAccount(account=account.id, braked=not args.now)).due
    gone = erased_by(due or installation.clock.now(), installation.config.retention)
    data = {
        "account": args.name,
        "id": account.id.hex(),
        "erased": bool(args.yes) and not due,
        "erases_at": due or None,
        "collections": [{"path": path, "kind": kind, "items": items} for path, kind, items in collections],
        "gone_by": gone,
    }
    held = count_text(sum(items for _, _, items in collections), "item")
    by = f"no copy of it is left in any vault by {time_text(gone)}, where a keeper works every day"
    if due:
        brakes = installation.config.brakes
        return Answer(
            data,
            [
                f"locked {args.name}, and erases it with {held} at {time_text(due)}: more than {brakes.erasures} "
                f"erasures within {brakes.window_minutes} minutes wait for {brakes.grace_days} days",
                f"to take it back until then: safehold account restore {args.name}",
                by,
            ],
        )
    if args.yes:
        return Answer(data, [f"erased {args.name} and {held} from the core", by])
    table = Table(("collection", "kind", "items"), collections)
    return Answer(data, [table, f"would erase {args.name} and {held}, for good: add --yes to do it", by])


def _type_again(args: Namespace) -> None:
    """What goes past the brake is asked of a person, at a terminal. Raises UsageError."""
    if not args.yes:
        raise UsageError("--now needs --yes")
    if not is_terminal(sys.stdin):
        raise UsageError(
            "--now asks for the name at a terminal, and there is none",
            hint="leave it out: beyond a few an hour, accounts are erased after a grace",
        )
    print(f"Type the name of the account to erase it now ({args.name}): ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != args.name:
        raise UsageError("that is not the name; nothing was erased")


def _restore(args: Namespace, context: Context) -> Answer:
    from safehold.model.commands import TakeBackErasure

    with context.installation().session() as session:
        account = account_named(session.reads, args.name)
        session.execute(TakeBackErasure(account=account.id))
    return Answer({"account": args.name, "restored": True}, [f"{args.name} is unlocked, with all that was there"])


def read_password(from_stdin: bool) -> str:
    """A password of a person. Raises UsageError: none, too long, not UTF-8, or nobody to ask."""
    if from_stdin:
        raw = sys.stdin.buffer.read(MAX_PASSWORD_BYTES + 3)
        if raw.endswith(b"\n"):
            raw = raw[:-1].removesuffix(b"\r")
    elif is_terminal(sys.stdin):
        from getpass import getpass

        first = getpass("Password: ", stream=sys.stderr)
        if getpass("The same again: ", stream=sys.stderr) != first:
            raise UsageError("the two passwords are not the same", hint="try again")
        raw = first.encode()
    else:
        raise UsageError(
            "a password is needed and there is no terminal to ask on",
            hint="give --password-stdin and the password on standard input",
        )
    if not raw:
        raise UsageError("the password is empty")
    if len(raw) > MAX_PASSWORD_BYTES:
        raise UsageError(f"the password is longer than {MAX_PASSWORD_BYTES} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise UsageError("the password is not UTF-8 text") from None
