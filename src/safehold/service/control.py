"""What goes over the local socket: commands one way, outcomes and refusals the other.

request    msgpack array of commands, each a map tagged by `command`
answer     msgpack array, one for each: {"type": "Outcome", …} or {"type": "Refusal", …}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from safehold.formats.seal import SealedObject
from safehold.model import errors
from safehold.model.commands import AnyCommand, Outcome
from safehold.model.errors import Held, OperatorError, RequestError, SafeholdError

STATUS = b"status"
RELOAD = b"reload"
#: Before a msgpack array of the objects (formats/seal.py) that were put into the sync vaults beside the log.
NOTE_OBJECTS = b"objects "

#: Close and seal what is being appended to, and let the async vaults catch up for a moment: `{frame, level}`.
SETTLE = b"settle"

_MAKE_UP = b"make-up "
_BRING_IN = b"bring-in "

#: Commands of one request, at most: they share one transaction and one frame.
MAX_COMMANDS = 256


class _Done(msgspec.Struct, tag="Outcome"):
    outcome: Outcome


class _Refusal(msgspec.Struct, tag="Refusal"):
    error: str  # the error's class
    message: str
    hint: str
    element: str = ""
    href: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode_commands = msgspec.msgpack.Decoder(list[AnyCommand]).decode
_decode_objects = msgspec.msgpack.Decoder(list[SealedObject]).decode
_decode_answers = msgspec.msgpack.Decoder(list[_Done | _Refusal]).decode


class MakeUp(msgspec.Struct, frozen=True):
    """Write again what no vault has whole: the changes of these frames (first, last), and these blobs (hex)."""

    frames: list[tuple[int, int]]
    blobs: list[str]


class Wanted(msgspec.Struct, frozen=True):
    """Streams of one account that a command is about to read: a recovery under way brings them in first, if it can.

    The answer names those that are not in by then: `{held: [kind]}`.
    """

    account: bytes
    kinds: list[str]


def encode_wanted(wanted: Wanted) -> bytes:
    return _BRING_IN + _encode(wanted)


def decode_wanted(data: bytes) -> Wanted | None:
    """None where this is another request. Raises errors.BadRequest."""
    if not data.startswith(_BRING_IN):
        return None
    try:
        return msgspec.msgpack.decode(data[len(_BRING_IN) :], type=Wanted)
    except msgspec.DecodeError as error:
        raise errors.BadRequest(f"this does not say which streams are wanted: {error}") from error


def encode_make_up(wanted: MakeUp) -> bytes:
    return _MAKE_UP + msgspec.json.encode(wanted)


def decode_make_up(data: bytes) -> MakeUp | None:
    """None where this is another request. Raises errors.BadRequest."""
    if not data.startswith(_MAKE_UP):
        return None
    try:
        return msgspec.json.decode(data[len(_MAKE_UP) :], type=MakeUp)
    except msgspec.DecodeError as error:
        raise errors.BadRequest(f"this does not say what to make up for: {error}") from error


def encode_commands(commands: Sequence[AnyCommand]) -> bytes:
    return _encode(list(commands))


def decode_commands(data: bytes) -> list[AnyCommand]:
    """Raises errors.BadRequest."""
    try:
        commands = _decode_commands(data)
    except msgspec.DecodeError as error:
        raise errors.BadRequest(f"this is not a list of commands: {error}") from error
    if len(commands) > MAX_COMMANDS:
        raise errors.BadRequest(f"one request may carry {MAX_COMMANDS} commands, not {len(commands)}")
    return commands


def encode_objects(objects: Sequence[SealedObject]) -> bytes:
    return NOTE_OBJECTS + _encode(list(objects))


def decode_objects(data: bytes) -> list[SealedObject]:
    """Raises errors.BadRequest."""
    try:
        return _decode_objects(data.removeprefix(NOTE_OBJECTS))
    except msgspec.DecodeError as error:
        raise errors.BadRequest(f"this is not a list of objects: {error}") from error


def encode_results(results: Sequence[Outcome | SafeholdError]) -> bytes:
    return _encode([_answer(result) for result in results])


def _answer(result: Outcome | SafeholdError) -> _Done | _Refusal:
    if isinstance(result, Outcome):
        return _Done(result)
    request = result if isinstance(result, RequestError) else None
    return _Refusal(
        type(result).__name__,
        result.message,
        result.hint,
        request.element if request else "",
        request.href if request else "",
    )


def decode_results(data: bytes) -> list[Outcome | SafeholdError]:
    """Raises OperatorError where the other side speaks otherwise."""
    try:
        answers = _decode_answers(data)
    except msgspec.DecodeError as error:
        raise OperatorError(
            f"the running service gave an answer that cannot be read: {error}",
            hint="is it of the same version? restart it",
        ) from error
    return [a.outcome if isinstance(a, _Done) else _error(a) for a in answers]


def _error(refusal: _Refusal) -> SafeholdError:
    class_ = getattr(errors, refusal.error, None)
    if isinstance(class_, type) and issubclass(class_, RequestError):
        return class_(refusal.message, hint=refusal.hint, element=refusal.element, href=refusal.href)
    if isinstance(class_, type) and issubclass(class_, Held):
        return class_(refusal.message, hint=refusal.hint)
    return OperatorError(refusal.message, hint=refusal.hint)


def encode_json(value: dict[str, Any]) -> bytes:
    return msgspec.json.encode(value)


def decode_json(data: bytes) -> dict[str, Any]:
    """Raises OperatorError where the other side speaks otherwise."""
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise OperatorError(f"the running service gave an answer that cannot be read: {error}") from error
