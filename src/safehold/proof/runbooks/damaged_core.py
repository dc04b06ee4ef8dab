"""Something in the live database has rotted."""

from __future__ import annotations

from safehold.proof.runbooks.common import checked, start, stop
from safehold.proof.runbooks.value import Asks, Case, Expect, Gives, Runbook, Sort, Step, Test, Text

_SOURCES = Case(
    "source-away",
    Text(
        "something is damaged and not mended, since a vault is away or damaged or the recovery key does not lie beside the core",
        "algo está dañado y sin reparar, porque una bóveda está ausente o dañada o la clave de recuperación no está junto al núcleo",
    ),
)
_BY_HAND = Case(
    "by-hand",
    Text(
        "`status` says *core not renewed*, or you want the core made anew with the service stopped",
        "`status` dice *core not renewed*, o quiere que el núcleo se haga de nuevo con el servicio parado",
    ),
)

RUNBOOK = Runbook(
    name="damaged-core",
    title=Text(
        "Damaged core: something in the live database has rotted",
        "Núcleo dañado: algo en la base de datos viva se ha deteriorado",
    ),
    sort=Sort.CONTINGENCY,
    when=Text(
        "`status` shows *body mended*, *body damaged*, *large body damaged*, *core damaged* or *core not renewed*. The service may go on running: what cannot be read is never shown as absent, and what the vaults have is given from there.",
        "`status` muestra *body mended*, *body damaged*, *large body damaged*, *core damaged* o *core not renewed*. El servicio puede seguir en marcha: lo que no se puede leer nunca se muestra como ausente, y lo que las bóvedas tienen se da desde ellas.",
    ),
    steps=(
        Step(
            "look",
            Text("Look", "Mire"),
            Text(
                """`core` says when all of the core was last read, what was mended ever and what is damaged now. Incidents name account, kind, collection and item.

- *body mended*, *large body mended*: done; nothing was lost. They are told for a day. Once: bits rot. Again: the disk or the memory of this machine is failing; replace it before anything else.
- *body damaged*: a body is damaged here and no vault gives it now. Its item stays listed, asking for it is answered 503. The message says why: a vault that is away, a vault that is damaged, or the recovery key that is not beside the core.
- *core damaged*: pages that cannot be mended in place. The service makes the core anew by itself, as below. So it does where `core/` was removed or replaced while it ran.""",
                """`core` dice cuándo se leyó por última vez todo el núcleo, qué se ha reparado alguna vez y qué está dañado ahora. Los incidentes nombran cuenta, tipo, colección y elemento.

- *body mended*, *large body mended*: hecho; no se perdió nada. Se cuentan durante un día. Una vez: los bits se deterioran. Otra vez: el disco o la memoria de esta máquina falla; sustitúyalo antes que nada.
- *body damaged*: aquí hay un cuerpo dañado y ninguna bóveda lo da ahora. Su elemento sigue en la lista; a quien lo pide se le responde 503. El mensaje dice por qué: una bóveda ausente, una bóveda dañada, o la clave de recuperación que no está junto al núcleo.
- *core damaged*: páginas que no se pueden reparar en su sitio. El servicio hace el núcleo de nuevo por sí solo, como se dice abajo. También lo hace si `core/` se eliminó o sustituyó mientras corría.""",
            ),
            Gives(),
            ("status",),
        ),
        Step(
            "sources",
            Text("Bring the sources back", "Devuelva las fuentes"),
            Text(
                """- The recovery key lies elsewhere: end the service and start it with `safehold serve --identity FILE`.
- A vault is away: mount it ([lost-vault](lost-vault.md)). It is asked again within two minutes.
- A vault is damaged: `safehold vault repair`, then with `--yes` ([damaged-vault](damaged-vault.md)). What no vault has, the core may still have: so repair the vaults before the core is given up.""",
                """- La clave de recuperación está en otro lugar: termine el servicio e inícielo con `safehold serve --identity FILE`.
- Una bóveda está ausente: móntela ([lost-vault](lost-vault.md)). Se le vuelve a preguntar en menos de dos minutos.
- Una bóveda está dañada: `safehold vault repair`, luego con `--yes` ([damaged-vault](damaged-vault.md)). Lo que ninguna bóveda tiene, quizá lo tenga aún el núcleo: por eso repare las bóvedas antes de dar por perdido el núcleo.""",
            ),
            Asks(Text("Are the vaults and the key there?", "¿Están ahí las bóvedas y la clave?")),
            only=_SOURCES,
        ),
        Step(
            "renewal",
            Text("The core is made anew", "El núcleo se hace de nuevo"),
            Text(
                'The service sees that every sync vault holds all that the core holds, marks the core (`core/renew.json`), ends in the orderly way and begins again. What was there is moved to `scratch/core-<UTC time>/`, which nothing removes. *core not renewed* says what keeps it from that (a sync vault that is away or damaged, a recovery key that does not lie beside the core, `[recovery] start = "ask"`); it looks again each minute, and what is whole is served meanwhile.',
                'El servicio comprueba que cada bóveda síncrona tiene todo lo que tiene el núcleo, marca el núcleo (`core/renew.json`), termina ordenadamente y empieza de nuevo. Lo que había se mueve a `scratch/core-<hora UTC>/`, que nada elimina. *core not renewed* dice qué se lo impide (una bóveda síncrona ausente o dañada, una clave de recuperación que no está junto al núcleo, `[recovery] start = "ask"`); vuelve a mirar cada minuto, y mientras tanto se sirve lo que está entero.',
            ),
            Asks(
                Text(
                    "Is the core being made anew by the service, is nothing but a body damaged, or will you do it by hand?",
                    "¿El servicio está haciendo el núcleo de nuevo, no hay más daño que el de un cuerpo, o lo hará a mano?",
                )
            ),
        ),
        stop(_BY_HAND),
        Step(
            "plan",
            Text("By hand: look at what would come back", "A mano: mire qué volvería"),
            Text(
                "It writes nothing but its plan file; [recover](recover.md) says how to read it.",
                "No escribe más que su fichero de plan; [recover](recover.md) dice cómo leerlo.",
            ),
            Gives((0, 1), (Expect("changes_expected", Test.LEAST, 1),)),
            ("recover", "plan"),
            changes=Text("it writes `recovery-plan.json`", "escribe `recovery-plan.json`"),
            only=_BY_HAND,
        ),
        Step(
            "run",
            Text("By hand: make the core anew", "A mano: haga el núcleo de nuevo"),
            Text(
                "What was there is kept in `scratch/`. It may be killed and run again.",
                "Lo que había se conserva en `scratch/`. Puede matarse y ejecutarse otra vez.",
            ),
            Gives((0,), (Expect("changes_recovered", Test.LEAST, 1),)),
            ("recover", "run", "--yes"),
            changes=Text("a new core is put into place", "se pone un núcleo nuevo en su lugar"),
            dangerous=True,
            only=_BY_HAND,
        ),
        start(_BY_HAND),
        checked(),
        Step(
            "cause",
            Text("Look for the cause", "Busque la causa"),
            Text(
                "What was mended is kept as signed evidence in the vaults. Look for the cause: the kernel's log, the disk's own figures, the memory.",
                "Lo reparado queda como evidencia firmada en las bóvedas. Busque la causa: el registro del núcleo del sistema, las cifras del propio disco, la memoria.",
            ),
            Asks(
                Text("Is the cause known, or noted to be looked for?", "¿Se conoce la causa, o está anotado buscarla?")
            ),
        ),
    ),
)
