"""A drill has found damage or a difference, or could not end."""

from __future__ import annotations

from safehold.proof.runbooks.common import VAULT, checked
from safehold.proof.runbooks.value import Asks, Case, Expect, Gives, Runbook, Section, Sort, Step, Test, Text

_DAMAGE = Case(
    "damage",
    Text(
        "`damaged` names objects, or the scrub found damage", "`damaged` nombra objetos, o la revisión encontró daños"
    ),
)
_DIFFERS = Case(
    "differs", Text("no object is damaged, and streams differ", "ningún objeto está dañado, y hay flujos que difieren")
)

RUNBOOK = Runbook(
    name="drill-failed",
    title=Text("A drill has failed", "Ha fallado un simulacro"),
    sort=Sort.CONTINGENCY,
    when=Text(
        "`safehold drill run` ended with 1, or an alarm says so: what a recovery from this vault would bring back is damaged, or is not what the live core says. Nobody has noticed yet, and nothing is lost yet: a drill that fails is what drills are for.",
        "`safehold drill run` terminó con 1, o lo dice una alarma: lo que traería una recuperación desde esta bóveda está dañado, o no es lo que dice el núcleo vivo. Aún no lo ha notado nadie, y aún no se ha perdido nada: para esto son los simulacros.",
    ),
    asked=(VAULT,),
    steps=(
        Step(
            "again",
            Text("Run it once more", "Hágalo una vez más"),
            Text(
                "Into a scratch core, from the latest point. The live core and the vault are only read. `deviations` and `damaged` name what is wrong.",
                "En un núcleo de pruebas, desde el último punto. El núcleo vivo y la bóveda solo se leen. `deviations` y `damaged` nombran lo que está mal.",
            ),
            Gives((0, 1)),
            ("drill", "run", "--vault", "{vault}"),
            changes=Text("evidence is added", "se añade evidencia"),
        ),
        Step(
            "scrub",
            Text("Read the vault, and compare it", "Lea la bóveda, y compárela"),
            Text(
                "Bytes, chains and signatures; then heads and state roots against the core.",
                "Bytes, cadenas y firmas; luego cabezas y raíces de estado frente al núcleo.",
            ),
            Gives((0, 1), (Expect("vaults.*.trouble", Test.EMPTY),)),
            ("vault", "scrub", "{vault}", "--level", "replay", "--reconcile"),
        ),
        Step(
            "mend",
            Text("Mend the vault", "Repare la bóveda"),
            Text(
                "[damaged-vault](damaged-vault.md) says what each kind of mending is. What was there lies in `aside/`.",
                "[damaged-vault](damaged-vault.md) dice qué es cada tipo de reparación. Lo que había queda en `aside/`.",
            ),
            Gives(),
            ("vault", "repair", "{vault}", "--yes"),
            changes=Text("damaged objects are replaced", "se sustituyen los objetos dañados"),
            dangerous=True,
            only=_DAMAGE,
        ),
        Step(
            "full",
            Text("Write all of it anew", "Escríbalo todo de nuevo"),
            Text(
                "Each change is verified as it leaves the core. If it is refused, the core is in doubt: [damaged-core](damaged-core.md). If the next drill still differs, do not repair anything: one side means something else by the same bytes. Keep both, tell whoever maintains Safehold, and do not upgrade meanwhile.",
                "Cada cambio se verifica al salir del núcleo. Si se rechaza, el núcleo está en duda: [damaged-core](damaged-core.md). Si el siguiente simulacro aún difiere, no repare nada: un lado entiende otra cosa con los mismos bytes. Conserve ambos, avise a quien mantiene Safehold, y no actualice mientras tanto.",
            ),
            Gives((0,), (Expect("sealed", Test.IS, True),)),
            ("snapshot", "--full"),
            changes=Text("a full generation is added to the vaults", "se añade una generación completa a las bóvedas"),
            only=_DIFFERS,
        ),
        Step(
            "good",
            Text("Run a drill that succeeds", "Haga un simulacro que salga bien"),
            Text("It must end with 0, every stream equal.", "Debe terminar con 0, con todos los flujos iguales."),
            Gives((0,), (Expect("ok", Test.IS, True), Expect("damaged", Test.EMPTY))),
            ("drill", "run", "--vault", "{vault}"),
            changes=Text("evidence is added", "se añade evidencia"),
        ),
        checked(),
        Step(
            "cause",
            Text("Look for the cause", "Busque la causa"),
            Text(
                "Since when: the last drill that succeeded, and what was changed between the two (an upgrade, a disk, a key).",
                "Desde cuándo: el último simulacro que salió bien, y qué se cambió entre los dos (una actualización, un disco, una clave).",
            ),
            Asks(
                Text("Is the cause known, or noted to be looked for?", "¿Se conoce la causa, o está anotado buscarla?")
            ),
        ),
    ),
    more=(
        Section(
            Text("If it could not end", "Si no pudo terminar"),
            Text(
                "Exit code 3: no room for the scratch core ([disk-full](disk-full.md)), a vault that is away ([lost-vault](lost-vault.md)), or a key that does not lie here ([key-lost](key-lost.md)). A drill that cannot run proves nothing: it counts as overdue.",
                "Código 3: no hay sitio para el núcleo de pruebas ([disk-full](disk-full.md)), una bóveda ausente ([lost-vault](lost-vault.md)), o una clave que no está aquí ([key-lost](key-lost.md)). Un simulacro que no puede correr no demuestra nada: cuenta como atrasado.",
            ),
        ),
    ),
)
