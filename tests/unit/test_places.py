"""Where a folder lies: read from what a made-up system says of its mounts and devices."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from safehold.adapters import places
from safehold.adapters.places import Place, describe_place, look_at_place, place_from
from safehold.assembly.domains import CORE, KEYS, Part, domain_risks


class System:
    """/proc and /sys of a machine; `mount` says what lies under the folder that is looked at."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "vault"
        self.folder.mkdir()
        number = os.stat(self.folder).st_dev
        self.device = f"{os.major(number)}:{os.minor(number)}"
        (root / "proc" / "self").mkdir(parents=True)
        self._lines: list[str] = []

    def mount(self, kind: str, source: str, options: str = "rw", point: str = "/") -> None:
        self._lines.append(f"30 1 {self.device} / {point} rw,relatime shared:1 - {kind} {source} {options}\n")
        (self.root / "proc" / "self" / "mountinfo").write_text("".join(self._lines))

    def disk(
        self, name: str, number: str, *, partition: str = "", slaves: tuple[str, ...] = (), level: str = ""
    ) -> None:
        """A block device, or a partition of one."""
        real = self.root / "sys" / "devices" / name / partition
        real.mkdir(parents=True, exist_ok=True)
        if partition:
            (real / "partition").write_text("1\n")
        for slave in slaves:
            (real / "slaves" / slave).mkdir(parents=True)
        if level:
            (real / "md").mkdir()
            (real / "md" / "level").write_text(level + "\n")
        (real / "dev").write_text(number + "\n")
        for place in ("dev/block", "class/block"):
            (self.root / "sys" / place).mkdir(parents=True, exist_ok=True)
        (self.root / "sys" / "dev" / "block" / number).symlink_to(real)
        (self.root / "sys" / "class" / "block" / (partition or name)).symlink_to(real)

    def found(self) -> set[str]:
        return set(look_at_place(str(self.folder), str(self.root)).fails_with)


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def test_partitions_of_one_disk_are_that_disk(system: System) -> None:
    system.mount("ext4", "/dev/sda2")
    system.disk("sda", system.device, partition="sda2")
    assert system.found() == {"disk sda"}


def test_an_encrypted_volume_on_a_partition_is_its_disk(system: System) -> None:
    system.mount("ext4", "/dev/mapper/home")
    system.disk("dm-0", system.device, slaves=("sda2",))
    system.disk("sda", "8:2", partition="sda2")
    assert system.found() == {"disk sda"}


def test_a_volume_over_two_disks_fails_with_either(system: System) -> None:
    system.mount("ext4", "/dev/mapper/big")
    system.disk("dm-0", system.device, slaves=("sda", "sdb"))
    system.disk("sda", "8:0")
    system.disk("sdb", "8:16")
    assert system.found() == {"disk sda", "disk sdb"}


@pytest.mark.parametrize(
    ("level", "found"), [("raid1", {"array md0"}), ("raid0", {"array md0", "disk sda", "disk sdb"})]
)
def test_an_array_outlives_a_member_where_it_is_redundant(system: System, level: str, found: set[str]) -> None:
    system.mount("ext4", "/dev/md0")
    system.disk("md0", system.device, slaves=("sda", "sdb"), level=level)
    system.disk("sda", "8:0")
    system.disk("sdb", "8:16")
    assert system.found() == found


def test_a_loop_device_lies_where_its_file_does(system: System) -> None:
    """The file lies on a device of this machine, which the made-up one has under the same number."""
    system.mount("ext4", "/dev/loop3")
    system.disk("loop3", system.device)
    loop = system.root / "sys" / "devices" / "loop3" / "loop"
    loop.mkdir()
    (loop / "backing_file").write_text(f"{system.root}/image\n")
    (system.root / "image").write_bytes(b"")
    assert system.found() <= {f"device {system.device}", "disk loop3"}  # a loop on itself ends somewhere


def test_a_file_system_whose_device_is_its_own_is_told_by_its_source(system: System) -> None:
    system.mount("btrfs", "/dev/sdc1")
    system.disk("sdc", "8:33", partition="sdc1")
    assert system.found() == {"disk sdc"}


@pytest.mark.parametrize(
    ("kind", "source", "found"),
    [
        ("nfs4", "nas:/export/vault", "server nas"),
        ("cifs", "//nas/share", "server nas"),
        ("fuse.sshfs", "ann@far.example:/srv", "server far.example"),
        ("zfs", "tank/vaults", "pool tank"),
        ("tmpfs", "tmpfs", "memory"),
        ("ext4", "/dev/unheard-of", "device"),
    ],
)
def test_other_mounts(system: System, kind: str, source: str, found: str) -> None:
    system.mount(kind, source)
    assert {name.partition(" ")[0] if found == "device" else name for name in system.found()} == {found}


def test_the_deepest_mount_counts(system: System) -> None:
    system.mount("nfs4", "nas:/a")
    system.mount("nfs4", "other:/b", point=str(system.folder).replace(" ", "\\040"))
    assert system.found() == {"server other"}


def test_a_system_that_tells_nothing(system: System) -> None:
    assert system.found() == {f"device {system.device}"}


def test_a_place_travels_as_plain_values(tmp_path: Path) -> None:
    described = describe_place(str(tmp_path))
    assert place_from(described) == look_at_place(str(tmp_path))
    assert describe_place(str(tmp_path / "none")) is None
    for rubbish in (None, 7, {}, {"device": "1"}, {**(described or {}), "fails_with": "x"}):
        assert place_from(rubbish) is None
    assert places.host_name() in look_at_place(str(tmp_path)).text()


# -- what follows


def at(*causes: str, host: str = "box") -> Place:
    return Place("8:1", "ext4", host, frozenset(causes))


def risks(near: Place | None, far: Place | None, core: Place, keys: Place, *append_only: str) -> list[str]:
    found = dict(zip(("near", "far"), append_only, strict=False))
    return domain_risks([Part("near", near), Part("far", far)], [Part(CORE, core), Part(KEYS, keys)], found)


def test_all_on_one_disk_is_said_in_plain_words() -> None:
    told = risks(at("disk vda"), at("disk vda"), at("disk vda"), at("disk sdb"))
    assert told[0] == "near, far and the core lie on one disk (vda): one failure takes all three"
    told = risks(at("disk vda"), at("disk vda"), at("disk vda"), at("disk vda"))
    assert told[0] == "near, far, the core and the keys lie on one disk (vda): one failure takes all four"


def test_only_what_shares_is_named() -> None:
    told = risks(at("disk sda"), at("disk sdb"), at("disk sda"), at("disk sda"))
    assert told[:1] == ["near, the core and the keys lie on one disk (sda): one failure takes all three"]
    assert not [each for each in told if "far" in each]
    told = risks(at("server nas"), at("server nas"), at("disk sda"), at("disk sda"))
    assert told == ["near and far lie on one server (nas): one failure takes both"]
    assert risks(at("disk sdb"), at("disk sdc", host="other"), at("disk sda"), at("disk sda")) == []
    assert risks(None, None, at("disk sda"), at("disk sda")) == []


def test_a_disk_that_is_a_part_of_both_is_told_once_for_each_group() -> None:
    told = risks(at("disk sda", "disk sdb"), at("disk sda", "disk sdb"), at("disk sdc"), at("disk sdc"))
    assert [each for each in told if "one failure" in each] == [
        "near and far lie on one disk (sda): one failure takes both"
    ]


def test_one_machine_memory_and_one_user() -> None:
    told = risks(at("disk sda"), at("memory"), at("disk sdb"), at("disk sdb"), "by convention", "by convention")
    assert told == [
        "the vault far lies in memory: a restart of the machine takes it",
        "the core and every vault are in one machine (box): its loss takes them all",
        "the user that the service runs as may overwrite near and far: whoever takes over the service can take every "
        "vault with it",
    ]
    told = risks(at("disk sda"), at("server nas"), at("disk sdb"), at("disk sdb"), "by convention", "enforced")
    assert told == []


def test_disks_of_two_machines_are_two_disks_whatever_they_are_called() -> None:
    own = at("disk sda")
    assert risks(at("disk sdb"), at("disk sda", host="elsewhere"), own, own) == []
    told = risks(at("server nas"), at("server nas", host="elsewhere"), own, own)
    assert told == ["near and far lie on one server (nas): one failure takes both"]
