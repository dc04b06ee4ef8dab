"""One more vault."""

from __future__ import annotations

from safehold.proof.runbooks.common import WHY, checked, snapshotted
from safehold.proof.runbooks.value import Asked, Asks, Case, Expect, Gives, Runbook, Sort, Step, Test, Text

_SYNC = Case(
    "sync", Text("answers are to wait for this vault as well", "las respuestas han de esperar también a esta bóveda")
)

RUNBOOK = Runbook(
    name="add-vault",
    title=Text("Add a vault", "Añadir una bóveda"),
    sort=Sort.MAINTENANCE,
    when=Text(
        "there is another disk, machine or place to keep everything in once more, or `status` says which parts would be lost together. The service may run.",
        "hay otro disco, máquina o lugar donde guardarlo todo una vez más, o `status` dice qué partes se perderían juntas. El servicio puede seguir en marcha.",
    ),
    asked=(
        Asked(
            "vault",
            Text("What is it to be called? (a to z, digits, dashes)", "¿Cómo ha de llamarse? (a a z, cifras, guiones)"),
            "third",
        ),
        Asked(
            "url",
            Text(
                "Where? (`folder:PATH`, or `keeper:PATH` of a keeper's socket)",
                "¿Dónde? (`folder:RUTA`, o `keeper:RUTA` del socket de un guardián)",
            ),
            "folder:/mnt/third/vault",
        ),
        WHY,
    ),
    steps=(
        Step(
            "place",
            Text("Choose a place that does not fail with the others", "Elija un lugar que no falle con los demás"),
            Text(
                "Another disk at least; better another machine, another user ([keeper](keeper.md)), another house. It needs as much room as an existing vault, and grows as they do. A mount must be mounted: an empty mount point would be filled instead of the disk.",
                "Otro disco al menos; mejor otra máquina, otro usuario ([keeper](keeper.md)), otra casa. Necesita tanto sitio como una bóveda existente, y crece como ellas. Un montaje debe estar montado: si no, se llenaría el punto de montaje vacío en lugar del disco.",
            ),
            Asks(
                Text(
                    "Is the disk mounted, and is it another one than the others'?",
                    "¿Está montado el disco, y es otro que el de las demás?",
                )
            ),
        ),
        snapshotted(),
        Step(
            "add",
            Text("Add it", "Añádala"),
            Text(
                "It makes the vault, brings it up to date from the others, and enters it in the configuration; a running service takes it up at once. A new one is async: answers do not wait for it.",
                "Hace la bóveda, la pone al día a partir de las otras, y la introduce en la configuración; un servicio en marcha la toma en el acto. Una nueva es asíncrona: las respuestas no la esperan.",
            ),
            Gives((0,), (Expect("vaults.name={vault}.state", Test.IS, "reachable"),), ("status",)),
            ("vault", "add", "{vault}", "{url}"),
            changes=Text(
                "a vault is made, filled, and stands in `safehold.toml`",
                "se hace una bóveda, se llena, y consta en `safehold.toml`",
            ),
        ),
        Step(
            "probe",
            Text("See what it enforces", "Vea qué impone"),
            Text(
                "`append_only` is `enforced` where this user can neither overwrite, shorten, rename nor remove anything in it.",
                "`append_only` es `enforced` si este usuario no puede sobrescribir, acortar, renombrar ni eliminar nada en ella.",
            ),
            Gives(),
            ("vault", "probe", "{vault}"),
        ),
        Step(
            "scrub",
            Text("Read it whole", "Léala entera"),
            Text("It must end with 0, the core compared.", "Debe terminar con 0, comparada con el núcleo."),
            Gives((0,), (Expect("ok", Test.IS, True),)),
            ("vault", "scrub", "{vault}", "--reconcile"),
        ),
        Step(
            "sync",
            Text("Let answers wait for it", "Haga que las respuestas la esperen"),
            Text(
                "Then no acknowledged change is lost while any sync vault is left; and while this one is away, changes wait. Who did it, when and why is on record.",
                "Entonces no se pierde ningún cambio confirmado mientras quede alguna bóveda síncrona; y mientras esta falte, los cambios esperan. Queda registrado quién lo hizo, cuándo y por qué.",
            ),
            Gives((0,), (Expect("vaults.name={vault}.mode", Test.IS, "sync"),), ("status",)),
            ("vault", "mode", "{vault}", "sync", "--why", "{why}"),
            changes=Text(
                "which vaults an answer waits for, on record", "a qué bóvedas espera una respuesta, y queda registrado"
            ),
            only=_SYNC,
        ),
        checked(),
    ),
)
