"""Law 2 under seeded disasters: devices that decide as real clients do, and a count of what each deletes for no person.

One seed is one course. Two people have devices of every sort (`lab.clients`), which edit, send and learn over all kinds
they keep, through the real application. The core dies at any write point, is deleted, rots, loses its blobs, or an old
one is put back among live devices; vaults go missing; recoveries are whole, by account or by kind, killed, run again,
and followed by an undo of what came since some time. Others
go on while the house serves: streams enter between requests, whoever knocks may wait for them, writes to what is not in
yet are taken into the intake.

What holds, always (`Wrong` names what did not, and the seed prints the end of its course):

- no device deletes an item that nobody deleted (`lab.clients.verdict`);
- what was answered 2xx is there after any recovery, unless it was overwritten or deleted since;
- a device whose sync went to its end has what the server has.

Where core and sync vault are lost together, history may lose its end. Items of that end are not asked for afterwards,
but no device may delete one before a person has said for their account, or the operator for all, that it may be gone;
after that none may where a device has proved its collection to lack something. What goes then for a list is their
wish, and `given_up` counts it. `unsent` counts items that the
server refused to take with 503 and that Thunderbird's contacts then neither sent again nor kept.

Long, as a course, its disasters and the judge over them share one state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from hashlib import sha256

from safehold.disaster.course import Course, run_course
from safehold.disaster.faults import rot
from safehold.disaster.generations import snapshot as take_snapshot
from safehold.disaster.house import CORE_FOLDER, House
from safehold.disaster.rebuilding import lose_segment, make_near, recover
from safehold.lab.clients.client import Client
from safehold.lab.clients.files import FileClient
from safehold.lab.clients.tables import CLIENTS
from safehold.lab.clients.verdict import Key, Persons
from safehold.lab.oracle import Wrong
from safehold.lab.simdisk import Crash, SimDisk
from safehold.lab.wire import Answer, Request, href, make_collection
from safehold.model.commands import AcceptEnd, EraseAccount, LetGo, Outcome, Undo
from safehold.model.errors import Damaged, OperatorError, SafeholdError
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.ports.log import Hole
from safehold.service.ahead import ACCEPT, END, KEEP, doubts_of, proofs_of, standing_doubts
from safehold.service.brakes import BrakeLimits
from safehold.service.identity import SYSTEM_ACCOUNT
from safehold.vault.folder import FolderVault

USERS = ("ann", "bob")
#: Whose account is made and erased.
VISITOR = "eve"
#: Small enough that a few deletes are many.
BRAKES = BrakeLimits(least_items=4)
_MINUTES = (10.0, 60.0, 900.0, 7200.0)
#: What an item may be: its digest, or None where it is not there.
State = bytes | None


class LawTwo(Course):
    """One course of events."""

    title = "law-two"
    length = 60
    #: How likely it is at a step that a lost end is given up.
    gives_up = 0.4

    def __init__(self, seed: int | str, *, steps: int = 0, keep: Collection[int] | None = None) -> None:
        super().__init__(seed, House.new(f"law two {seed}", USERS, brakes=BRAKES), steps=steps, keep=keep)
        self.given_up = self.unsent = self.held_back = 0
        self._fuse: int | None = None
        self._made = self._written = 0
        self._persons = Persons()
        self._states: dict[Key, set[State]] = {}  # of what was answered: what may be there now
        self._changed: dict[Key, int] = {}  # the last step at which it was asked for
        self._shipped = 0  # the last step of which the async vault surely has all
        self._at_risk: set[Key] = set()  # of a lost end
        self._paths_at_risk: set[str] = set()  # collections that were made in it
        self._made_at: dict[str, int] = {}
        self._proved: set[str] = set()  # collections, or paths, of which a loss is proved
        self._end_given_up: set[str] = set()  # users of whom what a lost end had may go
        self._keeping: set[str] = set()  # of which a person said that devices may keep what they have
        self._refused: set[Key] = set()
        self._uncertain: set[Key] = set()  # changed within an end that was lost, and not looked for yet
        self._paths_uncertain: set[str] = set()
        self._of_the_end: set[Key] = set()  # all that were ever asked for within an end that was lost
        self._erased: dict[bytes, int] = {}  # accounts that were erased for good, and at which step
        self._holed = False  # whether a part of the log is gone from every vault
        self._old_cores: list[dict[str, bytes]] = []
        self.clock = self.house.sim_clock
        self._watch()
        self.devices = self._draw_devices()
        self._near_gone = False
        self._recovering = False  # while it serves
        self._held = False  # whether the last recovery left streams out

    def _watch(self) -> None:
        self.house.disk.on_write_point = self._on_write_point
        self.house.patience = lambda: self.rng.random() < 0.7

    def _draw_devices(self) -> list[Client]:
        """One of each sort, for one or the other person, and two more of any."""
        tables = [*CLIENTS, *self.rng.choices(CLIENTS, k=2)]
        made: list[Client] = []
        for number, table in enumerate(tables):
            make = FileClient if table.kinds == ("folder",) else Client
            name = f"d{number}"
            made.append(
                make(
                    name,
                    self.rng.choice(USERS),
                    table,
                    self.dice(name),
                    self.clock,
                    on_removed=self._removed,
                    on_wish=self._persons.delete,
                )
            )
        return made

    # -- the course --------------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, float]:
        return {
            "edit": 30,
            "sync": 40,
            "ship": 8,
            "pass_time": 8,
            "undo": 2,
            "collection": 3,
            "keep_a_core": 2,
            "light_fuse": 4,
            "disaster": 2.5,
            "let_go": 0.5,
            "give_up_the_end": self.gives_up,
            "recover_on": 6,
            "snapshot": 1.5,
            "come_and_go": 2,
        }

    def take(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Crash:
            self._black_out(self._draw_loss())

    def finish(self) -> None:
        """All is recovered and let go of; then every device learns what there is, and has it."""
        self._fuse = None
        self._go_down(kill=True)
        self._come_back("whole")
        while self.house.recovering:
            self.recover_on()
        for device in self.devices:
            self._sync_all([device])
        self.let_go()
        self.give_up_the_end(all_of_it=True)
        for _ in range(10):  # one's conflict copies are news to the others
            written = self._written
            self.clock.advance(7201)
            self._sync_all(self.devices)
            if self._written == written:
                break
        for device in self.devices:
            self._compare(device)

    # -- people and devices ------------------------------------------------------------------------------------------

    def edit(self) -> None:
        for device in self.rng.choices(self.devices, k=self.rng.randint(1, 4)):
            if device.kept:
                device.edit()

    def sync(self) -> None:
        self._sync_all(self.rng.sample(self.devices, self.rng.choice((1, 1, 2, len(self.devices)))))

    def _sync_all(self, devices: Sequence[Client]) -> None:
        for device in devices:
            device.sync(self.send)

    def collection(self) -> None:
        """A person makes an address book or a calendar, or removes one."""
        user = self.rng.choice(USERS)
        made = [path for path in self._collections() if path.startswith(f"{user}/") and "/made" in path]
        if made and self.rng.random() < 0.3:
            path = self.rng.choice(made)
            self._persons.remove(path)
            self.send(Request("DELETE", href(path, folder=True), user=user))
            return
        self._made += 1
        home, type_ = self.rng.choice((("contacts", "addressbook"), ("calendars", "VEVENT")))
        path = f"{user}/{home}/made{self._made}"
        self._made_at[path] = self.step
        self.send(make_collection(user, path, type_))

    def send(self, request: Request) -> Answer:
        """What a device asks, with what an answer promises written down. A crash passes through."""
        key = _key(request)
        if key is not None:
            self._changed[key] = self.step
            if request.method == "DELETE":  # a person's wish that waited: an undo has come between, and it still stands
                self._persons.delete(*key)
        try:
            answer = self._answer(request)
        except Crash:
            self._doubt(request, key)
            raise
        if answer.status == 500:
            raise Wrong(f"{request.method} {request.path} was answered 500", "I79")
        if answer.status == 503 and b"has seen" in answer.body:
            self._proved.add(request.path.removeprefix("/dav/").strip("/"))
        self._learn(request, key, answer)
        return answer

    def _answer(self, request: Request) -> Answer:
        if self.house.recovering and self.rng.random() < 0.3:
            self._turn()
        return self.house.requests([request])[0]

    def _learn(self, request: Request, key: Key | None, answer: Answer) -> None:
        if key is None:
            return
        if answer.status >= 500:
            self._refused.add(key)
            self._doubt(request, key)
            return
        if answer.status >= 300:
            return
        self._written += 1
        if request.method == "PUT":  # taken into the intake it wins all the same
            self._uncertain.discard(key)
            self._states[key] = {sha256(request.body).digest()}
        elif not self._kind_is_whole(key[0]):  # taken into the intake, and dropped where its condition does not hold
            self._states.setdefault(key, {None}).add(None)
        else:
            self._uncertain.discard(key)
            self._states[key] = {None}

    def _doubt(self, request: Request, key: Key | None) -> None:
        if key is not None:
            state = sha256(request.body).digest() if request.method == "PUT" else None
            self._states.setdefault(key, {None}).add(state)

    def come_and_go(self) -> None:
        """A third account: made, with something in it, and at another time erased for good."""
        if self.house.engine.stopped is not None or self.house.recovering:
            return
        account = self.house.reads.account_named(VISITOR)
        if account is None:
            self.house.engine.execute_all([self.house.new_account(VISITOR)])
            for name in ("one", "two"):
                path = href(f"{VISITOR}/files/notes/{name}")
                self._answer(Request("PUT", path, name.encode(), {"Content-Type": "text/plain"}, VISITOR))
            return
        result = self.house.engine.execute_all([EraseAccount(account=account.id, actor="operator")])[0]
        if isinstance(result, Outcome):
            self.note("erased")
            self._erased[account.id] = self.step

    # -- judging -----------------------------------------------------------------------------------------------------

    def _removed(self, device: Client, path: str, name: str, why: str) -> None:
        self.happened[f"removed: {why}"] += 1
        self._look_for_losses()
        if self._persons.wished(path, name):
            return
        key = (path, name)
        item = f"{device.table.client} ({device.name}) dropped {path}/{name} for its {why}"
        at_risk = key in self._at_risk or path in self._paths_at_risk
        told = path in device.kept and device.kept[path].refused  # it showed a token, and was sent to list
        given_up = path.partition("/")[0] in self._end_given_up
        if at_risk and given_up and path not in self._proved and not told:
            self.given_up += 1
            self.happened[f"given up: {device.table.client}"] += 1
            return
        if key in self._refused and self._is_not_there(key) and not self._accepted(key):
            self.unsent += 1
            return
        raise Wrong(f"{item}, and nobody deleted it", "law 2")

    def _accepted(self, key: Key) -> bool:
        """Whether the server has ever said that it has this item."""
        return any(state is not None for state in self._states.get(key, ())) and None not in self._states[key]

    def _is_not_there(self, key: Key) -> bool:
        return key not in self._truth()

    def _truth(self) -> dict[Key, bytes]:
        """What lies in the core, of streams that are whole."""
        found: dict[Key, bytes] = {}
        for user in USERS:
            account = self.house.reads.account_named(user)
            if account is None:
                continue
            for collection in self.house.reads.collections(account.number):
                if collection.kind in DATA_KINDS and self.house.reads.held(account.number, collection.kind) is None:
                    items = self.house.reads.items(collection)
                    found.update({(f"{user}/{collection.path}", item.name): item.digest for item in items})
        return found

    def _collections(self) -> list[str]:
        found = []
        for user in USERS:
            account = self.house.reads.account_named(user)
            if account is not None:
                found += [f"{user}/{c.path}" for c in self.house.reads.collections(account.number)]
        return found

    def _kind_is_whole(self, path: str) -> bool:
        user, _, rest = path.partition("/")
        account = self.house.reads.account_named(user)
        assert account is not None
        there = [c.kind for c in self.house.reads.collections(account.number) if c.path == rest]
        return all(self.house.reads.held(account.number, kind) is None for kind in there or _kinds_of(rest))

    def _look_for_losses(self) -> None:
        """What of a lost end is not there, of streams that are in."""
        truth, there = self._truth(), self._collections()
        for path in [*self._paths_uncertain]:
            if self._kind_is_whole(path):
                self._paths_uncertain.discard(path)
                if path not in there:
                    self._paths_at_risk.add(path)
        for key in [*self._uncertain]:
            if self._kind_is_whole(key[0]):
                self._uncertain.discard(key)
                states = self._states.get(key, {None})
                if len(states) > 1 or truth.get(key) not in states:  # what was in doubt may have been seen by a device
                    self._at_risk.add(key)
                    self._states[key] = {truth.get(key)}

    def _check_truth(self) -> None:
        """What was promised is there, but for the end that is lost; after a start, when nothing is in doubt."""
        self._look_for_losses()
        for id_ in self._erased:
            if self.house.reads.account_by_id(id_) is not None:
                raise Wrong(f"account {id_.hex()} was erased, and is back", "I28")
        truth = self._truth()
        for key, states in [*self._states.items()]:
            path, name = key
            if not self._kind_is_whole(path) or path in self._paths_at_risk:
                continue
            if truth.get(key) in states:
                self._states[key] = {truth.get(key)}  # what was in doubt is known now
            elif key in truth or not self._persons.wished(path, name):
                raise Wrong(f"{path}/{name} was acknowledged, and is {'other' if key in truth else 'gone'}", "law 1")

    def _compare(self, device: Client) -> None:
        truth = self._truth()
        for path, kept in device.kept.items():
            if not kept.settled:
                continue
            here = {n: i.etag for n, i in kept.items.items() if i.etag and not i.dirty and not i.deleted}
            # What was lost with the end of history and is still here: nobody could ask for more.
            here = {n: etag for n, etag in here.items() if (path, n) not in self._of_the_end}
            there = {name: f'"{digest.hex()}"' for (at, name), digest in truth.items() if at == path}
            mine = kept.items
            if path in self._keeping:
                here = {n: etag for n, etag in here.items() if n in there}
            # A delete that was refused, and that the client does not send again.
            there = {
                n: e for n, e in there.items() if n in here or (n not in mine and not self._persons.wished(path, n))
            }
            # A delete that was lost with the end: who deleted has nothing to learn from a token of before.
            lost = {n for n in there if (path, n) in self._of_the_end and self._persons.ever_wished(path, n)}
            there = {n: etag for n, etag in there.items() if n in here or n not in lost}
            there = {n: etag for n, etag in there.items() if n in here or not self._is_held(path, n)}
            if here != there:
                raise Wrong(f"{device.table.client} has {_shown(here)} in {path}, not {_shown(there)}", "law 2")

    def _is_held(self, path: str, name: str) -> bool:
        """Whether its body is gone with all that held it: no device can have what is answered 503.

        That a body which some vault has is given is held by the other course, and by the disasters.
        """
        asked = Request("GET", href(f"{path}/{name}"), user=path.partition("/")[0])
        return self.house.requests([asked])[0].status == 503

    # -- what a person or an operator says ---------------------------------------------------------------------------

    def undo(self) -> None:
        """A kind of one person goes back to some earlier time."""
        self._undo(self.rng.choice(USERS), self.rng.choice(DATA_KINDS), self._some_time())

    def _some_time(self) -> int:
        return self.clock.now() - round(self.rng.choice((30, 600, 4000, 20_000)) * 1_000_000)

    def _undo(self, user: str, kind: Kind, to: int) -> None:
        account = self.house.reads.account_named(user)
        if account is None or self.house.reads.held(account.number, kind) is not None:
            return
        before, shelves = self._truth(), self._collections()
        try:
            result = self.house.engine.execute_all([Undo(account=account.id, to=to, kind=kind)])[0]
        except Crash:
            self._forget(user, kind)
            raise
        if not isinstance(result, Outcome):
            return
        after = self._truth()
        for path in {*shelves} - {*self._collections()}:
            self._persons.remove(path)
        self._persons.undo(before, after)
        for key in {*before, *after}:
            if before.get(key) != after.get(key):
                self._states[key] = {after.get(key)}
                self._changed[key] = self.step

    def _forget(self, user: str, kind: Kind) -> None:
        """An undo that may have happened: nothing is promised of what it may have touched."""
        for key in [*self._states]:
            path, name = key
            if path.startswith(f"{user}/") and kind in _kinds_of(path.partition("/")[2]):
                del self._states[key]
                self._persons.delete(path, name)
        for path in self._made_at:
            if path.startswith(f"{user}/") and kind in _kinds_of(path.partition("/")[2]):
                self._persons.remove(path)

    def let_go(self) -> None:
        """The persons say on their page that what devices have proved to be lost may be gone."""
        for user in USERS:
            account = self.house.reads.account_named(user)
            if account is None:
                continue
            for path in {proof.path for proof in proofs_of(self.house.reads, account) if not proof.let_go}:
                word = self.rng.choice((ACCEPT, KEEP))
                self.note(f"let go: {path}")
                for at, name in self._at_risk:  # before the server hears of it, as with every wish
                    if at == f"{user}/{path}":
                        self._persons.delete(at, name)
                if word == KEEP:
                    self._keeping.add(f"{user}/{path}")
                self.house.engine.execute_all([LetGo(account=account.id, path=path, word=word)])

    def give_up_the_end(self, *, all_of_it: bool = False) -> None:
        """Somebody says that what a lost end had may be gone: a person for their account, or the operator for all."""
        if self.house.engine.stopped is not None or self.house.recovering:
            return
        doubts = doubts_of(self.house.reads)
        if not doubts:
            return
        by_the_operator = all_of_it or self.rng.random() < 0.5
        users = USERS if by_the_operator else (self.rng.choice(USERS),)
        self.note("end given up: operator" if by_the_operator else "end given up: person")
        self._end_given_up |= {*users}  # before the server hears of it, as with every wish
        if by_the_operator:
            self.house.engine.execute_all([AcceptEnd(account=SYSTEM_ACCOUNT, actor="operator")])
            return
        account = self.house.reads.account_named(users[0])
        assert account is not None
        self.house.engine.execute_all([LetGo(account=account.id, path=END)])

    # -- disasters ---------------------------------------------------------------------------------------------------

    def ship(self) -> None:
        self.house.scheduler.run_for(self.rng.choice((1, 10, 30)))
        shipper = self.house.writer.shippers[0]
        if self.house.engine.stopped is None and shipper.unarchived_changes == 0:
            self._shipped = self.step

    def snapshot(self) -> None:
        """A generation, which a recovery begins with; not while one is under way."""
        if self.house.recovering or self._held or self.house.engine.stopped is not None:
            return
        try:
            take_snapshot(self.house)
        except OperatorError:  # an old core was put back of which a part is held
            self.note("snapshot refused")

    def pass_time(self) -> None:
        self.clock.advance(self.rng.choice(_MINUTES))
        self.house.tick()

    def keep_a_core(self) -> None:
        """An image of the core as it is now, which somebody may put back."""
        disk = self.house.disk
        names = [entry.name for entry in disk.list(CORE_FOLDER)]
        self._old_cores.append({name: _read(disk, f"{CORE_FOLDER}/{name}") for name in names})

    def light_fuse(self) -> None:
        """The power goes, or the process is killed, at one of the next write points."""
        self._fuse = self.rng.randint(1, 60)

    def _on_write_point(self, operation: str, path: str) -> None:
        if self._fuse is not None:
            self._fuse -= 1
            if self._fuse <= 0:
                self._fuse = None
                self.log.append(f"{self.step}: crash at {operation} {path}")
                raise Crash

    def disaster(self) -> None:
        self._black_out(self._draw_loss())

    def _draw_loss(self) -> str:
        losses = ["nothing", "core", "core", "core", "blobs", "rot", "far"]
        if self._shipped:  # else nothing would be left
            losses += ["near", "core and near", "core and near"]
        if not self._holed:
            losses += ["core and a segment"]
        if self._old_cores:
            losses += ["an old core", "an old core"]
        return self.rng.choice(losses)

    def _go_down(self, *, kill: bool) -> None:
        self._fuse = None
        self.house = self.house.kill() if kill else self.house.crash(self.rng.choice((None, self.rng.getrandbits(32))))
        self._watch()

    def _black_out(self, loss: str) -> None:
        if self._recovering and loss in ("near", "rot"):
            loss = "core and near" if loss == "near" else "core"
        self.note(f"lost: {loss}")
        self._go_down(kill=self.rng.random() < 0.5)
        if loss == "core and a segment" and not (self._recovering or self._held or self._near_gone):
            self._seal_what_was_open()
        self._lose(loss)
        self._fuse = self.rng.randint(1, 200) if self.rng.random() < 0.4 else None
        while True:
            try:
                self._come_back(loss)
                break
            except Crash:
                self.note("struck again")
                self._go_down(kill=self.rng.random() < 0.5)
        self._fuse = None

    def _seal_what_was_open(self) -> None:
        """A start after a process that did not end well: its seal speaks of a segment that has none of its own."""
        self._come_back("nothing")
        if self.house.engine.stopped is None and not self.house.recovering:
            self.house.engine.seal()
        self._go_down(kill=True)

    def _lose(self, loss: str) -> None:
        disk = self.house.disk
        if loss.startswith("core"):
            disk.lose(CORE_FOLDER)
            disk.lose("/blobs")
            self._recovering = False
        match loss:
            case "blobs":
                disk.lose("/blobs")
            case "far":
                disk.lose("/far")
                self._shipped = 0
            case "core and a segment":
                self._lose_a_segment()
            case "rot":
                rot(disk, f"{CORE_FOLDER}/core.db", self.rng)
            case "an old core":
                disk.lose(CORE_FOLDER)
                disk.make_folders(CORE_FOLDER)
                for name, data in self.rng.choice(self._old_cores).items():
                    _write(disk, f"{CORE_FOLDER}/{name}", data)
        if loss.endswith("near"):
            self._near_gone = True
            if self._held or not disk.exists(f"{CORE_FOLDER}/core.db"):
                self._lose_the_end()

    def _lose_a_segment(self) -> None:
        self.house.load_keys()
        lost = lose_segment(self.house, self.rng)
        if lost is None:
            return
        self._holed = True
        self.note("a part of the log was lost")
        self.log.append(f"{self.step}: {lost.object}")
        # Where its seal went with it nothing names these: no stream is held for them, and every list is closed.
        self._uncertain |= {key for key in self._changed if key[1] in lost.names}
        self._of_the_end |= self._uncertain
        self._paths_uncertain |= {path for path in self._made_at if path.partition("/")[2] in lost.names}

    def _lose_the_end(self) -> None:
        """Nothing has what came after the async vault was last seen to be level."""
        self._proved.clear()
        self._end_given_up.clear()
        self.note("the end was lost")
        self._erased = {id_: at for id_, at in self._erased.items() if at <= self._shipped}
        self._uncertain |= {key for key, at in self._changed.items() if at > self._shipped}
        self._of_the_end |= self._uncertain
        self._paths_uncertain |= {path for path, at in self._made_at.items() if at > self._shipped}

    def _come_back(self, loss: str) -> None:
        """As the operator does it: start; where that is refused, recover and start."""
        house, disk = self.house, self.house.disk
        house.load_keys()
        if self._near_gone:
            disk.lose("/near")
        if not _is_vault(house, "far"):
            disk.lose("/far")
            FolderVault.create("far", "/far", disk, house.keyring.installation).close()
            self._shipped = 0
        if self._recovering and disk.exists(f"{CORE_FOLDER}/core.db"):
            self._start(lambda: house.serve_recovering(anew=False))
        elif loss == "core" and (self._recovering or self.rng.random() < 0.6):
            self.note("recover: serving")
            self._recovering = True
            self._held = False
            for folder in ("/scratch", "/blobs"):
                disk.make_folders(folder)
            self._start(lambda: house.serve_recovering(anew=True))
        else:
            self._start(lambda: self._recover_and_boot(loss))
        self._near_gone = False
        self._end_given_up -= {user for user in USERS if self._is_in_doubt(user)}
        try:
            self._check_truth()
        except Damaged:
            self._renew()
            self._check_truth()
        if loss == "core" and not self.house.recovering and self.rng.random() < 0.3:
            self.note("to an earlier time")
            to = self._some_time()
            for user in USERS:
                for kind in DATA_KINDS:
                    self._undo(user, kind, to)

    def _renew(self) -> None:
        """Rot that a recovery of a part did not meet: as the service does it once a read has, the core is made anew."""
        self.note("renewed")
        self._go_down(kill=True)
        self.house.load_keys()
        self.house.disk.lose(CORE_FOLDER)
        self._recovering = False
        self.house.boot(set_aside=self._recover(whole=True))

    def _is_in_doubt(self, user: str) -> bool:
        """Whether something that was lost, and that nothing names, is not given up, or not any more."""
        account = self.house.reads.account_named(user)
        return account is not None and bool(standing_doubts(self.house.reads, account))

    def _start(self, start: Callable[[], None]) -> None:
        """Where a start is refused the operator recovers with the service stopped."""
        try:
            start()
        except SafeholdError as error:
            if self.house.disk.dead:
                raise Crash from error
            self.note(f"start refused: {type(error).__name__}")
            self.log.append(error.message)
            self._go_down(kill=True)
            self.house.load_keys()
            self._recovering = False
            self.house.boot(set_aside=self._recover(whole=True))
        self._recovering = self.house.recovering

    def _recover_and_boot(self, loss: str) -> None:
        house, disk = self.house, self.house.disk
        holes: Sequence[Hole] = ()
        if loss.startswith("core") or loss in ("rot", "whole") or self._held:
            holes = self._recover(whole=loss == "whole" or self._near_gone)
        if self._near_gone:
            disk.lose("/near")  # also what an attempt that was struck has left there
            make_near(house)
        house.boot(mend=self._near_gone, set_aside=holes)

    def _recover(self, *, whole: bool) -> Sequence[Hole]:
        """What is missing of the log, as the plan tells."""
        accounts: tuple[str, ...] = ()
        kinds: tuple[Kind, ...] = ()
        if not whole and self.rng.random() < 0.5:
            if self.rng.random() < 0.5:
                accounts = (self.rng.choice(USERS),)
            else:
                kinds = tuple(self.rng.sample(DATA_KINDS, self.rng.randint(1, 3)))
        self._held = bool(accounts or kinds)
        self.note("recover: part" if self._held else "recover: whole")
        return recover(self.house, accounts, kinds)[0].holes

    def recover_on(self) -> None:
        """Some turns of a recovery that goes on while the house serves."""
        for _ in range(self.rng.choice((1, 1, 3, 10))):
            self._turn()

    def _turn(self) -> None:
        if not self.house.recovering:
            return
        if self.house.engine.stopped is not None:
            self.house.tick()
            return
        self.happened["turn"] += 1
        self._recovering = self.house.recovery_turn(self.rng.choice((1, 5, 20)))
        if not self._recovering:
            self.note("recovered while serving")
            self._look_for_losses()


def _key(request: Request) -> Key | None:
    """The item that a request writes."""
    if request.method not in ("PUT", "DELETE") or request.path.endswith("/"):
        return None
    path, _, name = request.path.removeprefix("/dav/").rpartition("/")
    return path, name


def _kinds_of(path: str) -> tuple[Kind, ...]:
    if path.startswith("contacts/"):
        return (Kind.CONTACTS,)
    if path.startswith("calendars/"):
        return (Kind.CALENDAR, Kind.TASKS, Kind.NOTES)
    return (Kind.NOTES,) if path.startswith("files/notes") else (Kind.PHOTOS,)


def _is_vault(house: House, name: str) -> bool:
    return house.disk.exists(f"/{name}/FORMAT")


def _shown(items: dict[str, str]) -> list[str]:
    return sorted(f"{name} {etag[1:7]}" for name, etag in items.items())


def _read(disk: SimDisk, path: str) -> bytes:
    file = disk.open(path)
    data = file.read_at(0, disk.size(path))
    file.close()
    return data


def _write(disk: SimDisk, path: str, data: bytes) -> None:
    file = disk.open(path, write=True, create=True)
    file.write_at(0, data)
    file.sync()
    file.close()
    disk.sync_folder(path.rpartition("/")[0])


def run_seed(seed: int) -> LawTwo:
    """One course that must not fail."""
    return run_course(LawTwo, seed)
