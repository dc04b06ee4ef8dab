"""The keys: whose word counts, who can read, where each lies and what that costs. Changes only with --yes."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safehold.cli.context import Context
from safehold.cli.output import Answer, Table, count_text
from safehold.cli.parser import Parser

if TYPE_CHECKING:
    from safehold.assembly.keywork import KeyWork

#: What it costs that a key lies where it lies.
IDENTITY_COSTS = {
    "beside the core": "whoever takes over this machine reads every vault; in return everything works by itself",
    "elsewhere": "recovery, replay, drills and bringing back a damaged body wait for the recovery key; scrubs here see "
    "ciphertext only. Whoever takes over this machine reads its core, and not what only the vaults hold",
    "in memory until the service ends": "as elsewhere, once the service has ended",
}
ROOT_COSTS = {
    "beside the core": "whoever takes over this machine can sign as this installation; in return a lost writer's key "
    "is made anew by itself",
    "elsewhere": "a new writer's key needs its file: --root FILE",
}
_TRAVELS = "it travels in the vaults, sealed: the recovery key alone brings a bare machine back"
_STAYS = "it does not travel in the vaults: a bare machine needs its file as well"
_OLD_READERS = "what was written before can still be read with the old key by whoever has it and an old vault"


def configure(parser: Parser) -> None:
    parser.set_defaults(run=_show)
    parser.command("show", "show keys and where they lie", "safehold vault keys show", _show)
    _configure_recovery(parser)
    for name, text, run in (
        ("add", "let one more recipient read what is written from now on", _add),
        ("remove", "let a recipient read no more of what is written from now on", _remove),
    ):
        found = parser.command(name, text, f"safehold vault keys {name} age1… --yes", run)
        found.add_argument("recipient", metavar="RECIPIENT", help="age1…, as `age-keygen -y` prints it")
        _yes(found)
    rotate = parser.command("rotate", "put a new key in the place of one", "safehold vault keys rotate writer --yes")
    writer = rotate.command(
        "writer", "a new writer's key under the root", "safehold vault keys rotate writer --yes", _rotate_writer
    )
    writer.add_argument("--root", metavar="FILE", help="the signing root's file, where it does not lie here")
    _yes(writer)
    _yes(
        rotate.command(
            "identity",
            "a new identity, and with it a new recovery key",
            "safehold vault keys rotate identity --yes",
            _rotate_identity,
        )
    )
    move = parser.command("move", "move a key away from the core", "safehold vault keys move identity /mnt/stick --yes")
    for name, text, run in (
        ("identity", "identities, recovery keys and keeper's key to another folder", _move_identity),
        ("root", "the signing root to another folder; then it travels no more", _move_root),
    ):
        found = move.command(name, text, f"safehold vault keys move {name} /mnt/stick --yes", run)
        found.add_argument("folder", metavar="DIR", help="where to; made where it is missing")
        _yes(found)


def _configure_recovery(parser: Parser) -> None:
    recovery = parser.command(
        "recovery",
        "print the recovery key",
        "safehold vault keys recovery --qr",
        _recovery,
        "Prints the recovery key, the newest if there are several. Whoever has it can read everything in the vaults.",
    )
    recovery.add_argument("--qr", action="store_true", help="as a QR code too, for paper or a phone")
    recovery.add_argument("--svg", metavar="FILE", help="write the QR code into a new SVG file")
    recovery.add_argument("--png", metavar="FILE", help="write the QR code into a new PNG file")


def _yes(parser: Parser) -> None:
    parser.add_argument("--yes", action="store_true", help="do it")


def _work(context: Context) -> KeyWork:
    from safehold.assembly.keywork import KeyWork

    return KeyWork(context.installation())


# -- looking


def _show(_args: Namespace, context: Context) -> Answer:
    with _work(context) as work:
        keys = work.describe()
    keys["identity"]["cost"] = IDENTITY_COSTS[keys["identity"]["place"]]
    keys["root"]["cost"] = f"{ROOT_COSTS[keys['root']['place']]}. {_TRAVELS if keys['root']['travels'] else _STAYS}"
    return Answer(keys, describe(keys))


def describe(keys: dict[str, Any]) -> list[str | Table]:
    """The keys for people."""
    identity, root = keys["identity"], keys["root"]
    older = f", with {count_text(identity['older'], 'older one')}" if identity["older"] else ""
    rows = [
        (r["recipient"], "the identity here" if r["opened_here"] else "an identity elsewhere")
        for r in keys["recipients"]
    ]
    signers = [
        (
            "writer",
            writer["public"],
            "signs now" if writer["current"] else "signed before",
            "" if writer["timelines"] is None else "{}-{}".format(*writer["timelines"]),
        )
        for writer in keys["writers"]
    ] + [("keeper", keeper["public"], f"its key lies {keeper['place']}", "") for keeper in keys["keepers"]]
    blocks: list[str | Table] = [
        f"installation {keys['installation']}, the fingerprint of the signing root",
        f"the identity lies {identity['place']}{older}: {identity['cost']}",
        f"the root lies {root['place']}: {root['cost']}",
        Table(("sealed to", "opened by"), rows),
        Table(("signer", "public key", "", "timelines"), signers),
    ]
    if keys["recovery_key_beside"]:
        blocks.append("the recovery key lies in keys/recovery.txt: print it, or keep a copy away from this machine")
    return blocks


def _recovery(args: Namespace, context: Context) -> Answer:
    from safehold.cli.qr import qr_text, save_qr
    from safehold.formats.keys import KeyAway

    key = context.installation().keyring.recovery_key
    if key is None:
        raise KeyAway("the vaults")
    written = [str(Path(name).absolute()) for name in (args.svg, args.png) if name]
    for name, kind in ((args.svg, "svg"), (args.png, "png")):
        if name:
            save_qr(key, Path(name), kind)
    blocks = [key, *([qr_text(key)] if args.qr else ()), *(f"the QR code is in {path}" for path in written)]
    return Answer({"recovery_key": key, "written": written}, blocks)


# -- changing


def _planned(args: Namespace, data: dict[str, Any], done: list[str], planned: str) -> Answer:
    """The answer of a command that does nothing without --yes."""
    if args.yes:
        return Answer(data | {"done": True}, done)
    return Answer(data | {"done": False}, [planned, "nothing was changed: add --yes to do it"])


def _add(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.keywork import check_recipient

    check_recipient(args.recipient)
    with _work(context) as work:
        if args.yes:
            work.add_recipient(args.recipient)
    told = "what is written from now on is sealed to it too; what was written before is not"
    return _planned(args, {"recipient": args.recipient}, [told], f"would seal to {args.recipient} too")


def _remove(args: Namespace, context: Context) -> Answer:
    with _work(context) as work:
        work.check_removal(args.recipient)
        if args.yes:
            work.remove_recipient(args.recipient)
    told = f"what is written from now on is not sealed to it; {_OLD_READERS}"
    return _planned(args, {"recipient": args.recipient}, [told], f"would no longer seal to {args.recipient}")


def _rotate_writer(args: Namespace, context: Context) -> Answer:
    from safehold.vault.keyring import load_root

    public = None
    with _work(context) as work:
        root = load_root(context.installation().disk, args.root) if args.root else None
        work.check_root(root)
        if args.yes:
            public = work.rotate_writer(root).hex()
    told = [f"the writer signs with {public} from a new timeline on", "what the old key signed stays valid"]
    return _planned(args, {"writer": public}, told, "would make a new writer's key under the root")


def _rotate_identity(args: Namespace, context: Context) -> Answer:
    key = None
    with _work(context) as work:
        work.require_identity()
        if args.yes:
            key = work.rotate_identity()
    told = [
        "the new recovery key, which alone opens everything from now on:",
        str(key),
        f"replace the copies of the old one; {_OLD_READERS}",
        "a keeper that runs elsewhere needs the new identity too",
    ]
    # For people only: a script asks for a secret by its name, `vault keys recovery`.
    return _planned(args, {}, told, "would make a new identity; the old one stays, to read what was sealed to it")


def _move_identity(args: Namespace, context: Context) -> Answer:
    return _moved(args, context, "identity", "identities, recovery keys and keeper's key")


def _move_root(args: Namespace, context: Context) -> Answer:
    return _moved(args, context, "root", "the signing root")


def _moved(args: Namespace, context: Context, what: str, name: str) -> Answer:
    folder = Path(args.folder).absolute()
    with _work(context) as work:
        work.check_place(folder)
        if args.yes and what == "identity":
            work.move_identity(folder)
        elif args.yes:
            work.move_root(folder)
    cost = IDENTITY_COSTS["elsewhere"] if what == "identity" else f"{ROOT_COSTS['elsewhere']}. {_STAYS}"
    told = [f"{name}: in {folder} now. {cost}"]
    if what == "root":
        told.append("frames of before still hold it, sealed to the recipients, until retention drops them")
    planned = f"would copy {name} to {folder}, open something with the copy, and remove them here. Then: {cost}"
    return _planned(args, {"moved": what, "to": str(folder)}, told, planned)
