"""An account is to be erased, and the day is asked on which it is gone."""

from __future__ import annotations

from safehold.proof.runbooks.common import ACCOUNT, snapshotted
from safehold.proof.runbooks.value import Asks, Expect, Gives, Runbook, Section, Sort, Step, Test, Text

RUNBOOK = Runbook(
    name="erasure",
    title=Text(
        "An account is to be erased, and the day is asked on which it is gone",
        "Hay que borrar una cuenta, y se pregunta el día en que habrá desaparecido",
    ),
    sort=Sort.MAINTENANCE,
    when=Text(
        "somebody wants an account erased, and to know when the last copy is gone.",
        "alguien quiere que se borre una cuenta, y saber cuándo desaparece la última copia.",
    ),
    asked=(ACCOUNT,),
    steps=(
        Step(
            "look",
            Text("See what would go", "Vea qué se iría"),
            Text("Without `--yes` it says what would go, and by when.", "Sin `--yes` dice qué se iría, y para cuándo."),
            Gives((0,), (Expect("gone_by", Test.FILLED),)),
            ("account", "erase", "{account}"),
        ),
        Step(
            "note",
            Text("Note whose it was", "Anote de quién era"),
            Text(
                "The opaque id is all that is left to tell: note whose it was, if you must be able to answer.",
                "El identificador opaco es todo lo que quedará para contarlo: anote de quién era, si debe poder responder.",
            ),
            Asks(Text("Is the id noted, or not needed?", "¿Está anotado el identificador, o no hace falta?")),
        ),
        Step(
            "erase",
            Text("Erase", "Borre"),
            Text(
                "The account and all its data leave the core at once, and its id enters the register of erased accounts, which every recovery honours: nothing brings it back.\n\nWhere more than three accounts are erased within an hour (`[brakes]`), those beyond are only locked, and erased after seven days, until when `safehold account restore NAME` takes it back; `erases_at` and `gone_by` say when. To erase one now all the same, at a terminal: `--yes --now`.",
                "La cuenta y todos sus datos salen del núcleo en el acto, y su identificador entra en el registro de cuentas borradas, que toda recuperación respeta: nada la trae de vuelta.\n\nSi se borran más de tres cuentas en una hora (`[brakes]`), las que pasan de ahí solo se bloquean, y se borran a los siete días; hasta entonces `safehold account restore NAME` lo revierte; `erases_at` y `gone_by` dicen cuándo. Para borrar una ahora mismo de todos modos, en una terminal: `--yes --now`.",
            ),
            Gives((0,), (Expect("gone_by", Test.FILLED),)),
            ("account", "erase", "{account}", "--yes"),
            changes=Text(
                "the account is gone for good, or locked until its grace is over",
                "la cuenta desaparece para siempre, o queda bloqueada hasta que acabe su plazo de gracia",
            ),
            dangerous=True,
        ),
        Step(
            "when",
            Text("Say when", "Diga cuándo"),
            Text(
                "The vaults hold its history until retention drops it, encrypted as everybody's is. `gone_by` is the day by which no copy is left in any vault that a keeper works on every day: `history_days` of `[retention]` (90) and 14 more. This shows it again.",
                "Las bóvedas tienen su historia hasta que la retención la elimina, cifrada como la de todos. `gone_by` es el día para el que no queda copia en ninguna bóveda en la que un guardián trabaje cada día: `history_days` de `[retention]` (90) y 14 más. Esto lo muestra otra vez.",
            ),
            Gives(),
            ("account", "list", "--erased"),
        ),
        snapshotted(),
        Step(
            "keep",
            Text("Let the keeper work", "Deje trabajar al guardián"),
            Text(
                "It attests the newest generation. A running service does so daily by itself; where another machine keeps the vaults, this is done there.",
                "Da fe de la generación más reciente. Un servicio en marcha lo hace a diario por sí solo; si otra máquina guarda las bóvedas, esto se hace allí.",
            ),
            Gives((0,), (Expect("vaults.*.damaged", Test.EMPTY),)),
            ("keeper", "run", "--once"),
            changes=Text(
                "evidence is added; what retention allows is removed",
                "se añade evidencia; se elimina lo que la retención permite",
            ),
        ),
        Step(
            "kept",
            Text("See that it happens", "Vea que ocurre"),
            Text(
                "It must have a date of today, two attested generations before long, and no `blocked`.",
                "Debe tener fecha de hoy, dos generaciones atestadas en poco tiempo, y ningún `blocked`.",
            ),
            Gives((0,), (Expect("at", Test.FILLED),)),
            ("keeper", "status"),
        ),
        Step(
            "retain",
            Text("See what would go from the vaults", "Vea qué se iría de las bóvedas"),
            Text(
                "Without `--yes` it says what would go and why the rest stays.",
                "Sin `--yes` dice qué se iría y por qué se queda el resto.",
            ),
            Gives(),
            ("vault", "retain"),
        ),
    ),
    more=(
        Section(
            Text("What holds it up", "Qué lo detiene"),
            Text(
                """- no keeper works: `hours = 0`, a keeper that is stopped, or its key and the identity are not both there;
- a vault is damaged ([damaged-vault](damaged-vault.md)), or a recovery is open (run it to its end);
- too few generations are attested: `safehold snapshot`, then `safehold keeper run --once`;
- a vault that was unplugged keeps everything. Plug it in, or destroy it;
- copies that somebody made of a vault or an export are out of anybody's reach here.""",
                """- ningún guardián trabaja: `hours = 0`, un guardián parado, o no están a la vez su clave y la identidad;
- una bóveda está dañada ([damaged-vault](damaged-vault.md)), o hay una recuperación abierta (llévela hasta el final);
- hay muy pocas generaciones atestadas: `safehold snapshot`, luego `safehold keeper run --once`;
- una bóveda desconectada lo conserva todo. Conéctela, o destrúyala;
- las copias que alguien hizo de una bóveda o de una exportación están aquí fuera del alcance de nadie.""",
            ),
        ),
    ),
)
