"""A disk is full, or will be before long: the core's or a vault's."""

from __future__ import annotations

from safehold.proof.runbooks.common import VAULT, checked, snapshotted
from safehold.proof.runbooks.value import Asked, Asks, Case, Expect, Gives, Runbook, Section, Sort, Step, Test, Text

_RETAIN = Case(
    "retention",
    Text(
        "a vault's disk is full, and its keeper works here",
        "el disco de una bóveda está lleno, y su guardián trabaja aquí",
    ),
)
_BIGGER = Case(
    "bigger-disk",
    Text(
        "nothing can be removed, and the vault moves to a bigger disk",
        "no se puede eliminar nada, y la bóveda pasa a un disco más grande",
    ),
)

RUNBOOK = Runbook(
    name="disk-full",
    title=Text("A disk is full, or will be before long", "Un disco está lleno, o lo estará pronto"),
    sort=Sort.CONTINGENCY,
    when=Text(
        "a device is answered 507, a command ends with 3 and *no space left*, or an alarm says when a disk will be full. A full vault stops writes; it never drops history. What was acknowledged is safe, and reading goes on.",
        "a un dispositivo se le responde 507, un comando termina con 3 y *no space left*, o una alarma dice cuándo se llenará un disco. Una bóveda llena detiene las escrituras; nunca descarta historia. Lo confirmado está a salvo, y la lectura continúa.",
    ),
    asked=(
        VAULT,
        Asked(
            "place",
            Text("Where does the vault lie now? (`folder:PATH`)", "¿Dónde está ahora la bóveda? (`folder:RUTA`)"),
            "folder:/mnt/big/near",
        ),
    ),
    steps=(
        Step(
            "look",
            Text("See which disk it is", "Vea qué disco es"),
            Text(
                "`status` names the disk of each vault (`failure_domain`) and how far each is behind; `df -h` says what is free on them, and `du -sh` in the data folder what takes the room.",
                "`status` nombra el disco de cada bóveda (`failure_domain`) y cuánto va atrasada cada una; `df -h` dice qué queda libre en ellos, y `du -sh` en la carpeta de datos qué ocupa el sitio.",
            ),
            Gives(),
            ("status",),
        ),
        Step(
            "free",
            Text("Free what may go", "Libere lo que puede irse"),
            Text(
                """By hand, and nothing else: other programs' files and logs; in the data folder `scratch/core-*` once nobody misses anything ([recover](recover.md)), folders of salvages and exports that are done with, copies of vaults that lie beside them.

Never: anything in `core/`, `blobs/`, `keys/` or a vault. What is in a vault is removed by retention alone; `aside/` of a vault, too. Filling filesystems to the last byte can hurt other programs: leave some percent free.""",
                """A mano, y nada más: ficheros y registros de otros programas; en la carpeta de datos `scratch/core-*` cuando nadie eche nada en falta ([recover](recover.md)), carpetas de rescates y exportaciones ya terminados, copias de bóvedas que estén junto a ellas.

Nunca: nada en `core/`, `blobs/`, `keys/` ni en una bóveda. Lo que hay en una bóveda lo elimina solo la retención; también `aside/` de una bóveda. Llenar un sistema de ficheros hasta el último byte puede dañar a otros programas: deje libre algún porcentaje.""",
            ),
            Asks(Text("Is there room again, or can nothing go?", "¿Hay sitio otra vez, o no puede irse nada?")),
        ),
        Step(
            "plan",
            Text("See what retention would remove", "Vea qué eliminaría la retención"),
            Text(
                "Only what is older than `[retention]` allows, and only where a keeper has attested two newer generations; `blocked` says why nothing goes. It needs some room for evidence.",
                "Solo lo que es más viejo de lo que permite `[retention]`, y solo si un guardián ha dado fe de dos generaciones más nuevas; `blocked` dice por qué no se va nada. Necesita algo de sitio para la evidencia.",
            ),
            Gives(),
            ("vault", "retain", "{vault}"),
            only=_RETAIN,
        ),
        Step(
            "retain",
            Text("Let retention remove it", "Deje que la retención lo elimine"),
            Text("What goes is named in evidence first.", "Lo que se va se nombra antes en la evidencia."),
            Gives(),
            ("vault", "retain", "{vault}", "--yes"),
            changes=Text(
                "history that is older than the retention goes from this vault",
                "la historia más vieja que la retención sale de esta bóveda",
            ),
            dangerous=True,
            only=_RETAIN,
        ),
        Step(
            "bigger",
            Text("Move the vault to a bigger disk", "Pase la bóveda a un disco más grande"),
            Text(
                "With the service stopped copy the vault's folder whole (`rsync -a`, `cp -a`), write its new `url` into `safehold.toml`, and start the service. Keep the old folder until a scrub of the new one has ended with 0.",
                "Con el servicio parado copie entera la carpeta de la bóveda (`rsync -a`, `cp -a`), escriba su nueva `url` en `safehold.toml`, e inicie el servicio. Conserve la carpeta vieja hasta que una revisión de la nueva termine con 0.",
            ),
            Gives(
                (0,),
                (
                    Expect("vaults.name={vault}.url", Test.IS, "{place}"),
                    Expect("vaults.name={vault}.state", Test.IS, "reachable"),
                ),
                ("status",),
            ),
            changes=Text("the vault lies elsewhere", "la bóveda está en otro lugar"),
            only=_BIGGER,
        ),
        snapshotted(),
        Step(
            "level",
            Text("See that every vault is level", "Vea que todas las bóvedas están al día"),
            Text(
                "What waited for room follows by itself within moments.",
                "Lo que esperaba sitio sigue solo en unos instantes.",
            ),
            Gives((0,), (Expect("vaults.*.unarchived_changes", Test.IS, 0),)),
            ("status",),
        ),
        checked(),
    ),
    more=(
        Section(
            Text("So that it does not come again", "Para que no vuelva a pasar"),
            Text(
                "`limits.quota` in `safehold.toml` bounds what an account may hold, `[retention]` how long the vaults keep what was deleted or replaced. An alarm that forecasts a full disk leaves time for a bigger one.",
                "`limits.quota` en `safehold.toml` limita lo que puede contener una cuenta, `[retention]` cuánto guardan las bóvedas lo borrado o sustituido. Una alarma que prevé un disco lleno deja tiempo para uno más grande.",
            ),
        ),
    ),
)
