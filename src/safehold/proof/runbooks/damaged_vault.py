"""A scrub has found something, or a disk under a vault is in doubt."""

from __future__ import annotations

from safehold.proof.runbooks.common import scrubbed
from safehold.proof.runbooks.value import Asks, Case, Expect, Gives, Runbook, Sort, Step, Test, Text

_STRANGE = Case(
    "strange",
    Text(
        "objects are *unexpected* under names of the log, or evidence is missing",
        "hay objetos *unexpected* con nombres del registro, o falta evidencia",
    ),
)

RUNBOOK = Runbook(
    name="damaged-vault",
    title=Text(
        "Damaged vault: a scrub has found something, or a disk under a vault is in doubt",
        "Bóveda dañada: una revisión ha encontrado algo, o un disco bajo una bóveda está en duda",
    ),
    sort=Sort.CONTINGENCY,
    when=Text(
        "`safehold scrub` ends with 1, `status` shows a vault with damage (*damaged when it was last scrubbed*), or a start refuses because vaults lack what the core has. The service may go on running, unless the first step says otherwise.",
        "`safehold scrub` termina con 1, `status` muestra una bóveda con daños (*damaged when it was last scrubbed*), o un arranque se niega porque a las bóvedas les falta lo que tiene el núcleo. El servicio puede seguir en marcha, salvo que el primer paso diga otra cosa.",
    ),
    steps=(
        Step(
            "look",
            Text("Look", "Mire"),
            Text(
                """It reads every vault whole and names each object that is `missing`, `corrupt` or `unexpected`, with the reason. `--reconcile` compares the core with the vaults as well; `--limit 20MiB` leaves the disks to the service.

- One or two objects: bits rot. Go on.
- Many objects of one vault, more at each scrub: its disk is failing. Do not mend on it: copy the folder away if you can, replace the disk, move the folder away and `safehold vault add NAME`.
- `unexpected` objects under names of the log, or evidence missing: somebody or something else writes there. Find out who before you mend; `safehold vault probe` says what this user could do there.
- `trouble` in place of a result: the vault is away or its disk refuses. Mount it or mend the disk first.""",
                """Lee cada bóveda por completo y nombra cada objeto que esté `missing` (falta), `corrupt` (corrupto) o `unexpected` (inesperado), con la razón. `--reconcile` compara además el núcleo con las bóvedas; `--limit 20MiB` deja los discos al servicio.

- Uno o dos objetos: los bits se deterioran. Siga.
- Muchos objetos de una bóveda, más en cada revisión: su disco falla. No repare sobre él: copie la carpeta a otro sitio si puede, sustituya el disco, aparte la carpeta y `safehold vault add NAME`.
- Objetos `unexpected` con nombres del registro, o evidencia que falta: alguien o algo más escribe ahí. Averigüe quién antes de reparar; `safehold vault probe` dice qué podría hacer ahí este usuario.
- `trouble` en lugar de un resultado: la bóveda está ausente o su disco se niega. Móntela o repare antes el disco.""",
            ),
            Gives((0, 1), (Expect("vaults.*.trouble", Test.EMPTY),)),
            ("scrub",),
        ),
        Step(
            "probe",
            Text("See who could have written there", "Vea quién pudo escribir ahí"),
            Text(
                "*by convention* means that the user who runs this, and so whatever runs as that user, can overwrite or remove what is there.",
                "*by convention* significa que el usuario que ejecuta esto, y por tanto todo lo que corra como ese usuario, puede sobrescribir o eliminar lo que hay.",
            ),
            Gives(),
            ("vault", "probe"),
            only=_STRANGE,
        ),
        Step(
            "plan",
            Text("Plan", "Planifique"),
            Text(
                "It changes nothing and says for each object how it would be mended: `copy from far` (another vault has it whole), `merge` (several vaults have parts), `trim` (what is wrong stands behind its end), `text`, `set aside` (nobody put it there), `core` (no vault has it: the core writes it again), `record` (only a record of a check is lost). Where other vaults are away, mount them first: their copies are better than new ones.",
                "No cambia nada y dice de cada objeto cómo se repararía: `copy from far` (otra bóveda lo tiene entero), `merge` (varias bóvedas tienen partes), `trim` (lo que está mal queda detrás de su final), `text`, `set aside` (nadie lo puso ahí), `core` (ninguna bóveda lo tiene: el núcleo lo escribe otra vez), `record` (solo se ha perdido el registro de una comprobación). Si hay otras bóvedas ausentes, móntelas antes: sus copias son mejores que unas nuevas.",
            ),
            Gives((0, 1)),
            ("vault", "repair"),
        ),
        Step(
            "mend",
            Text("Mend", "Repare"),
            Text(
                """A running service closes what it appends to and goes on. It may be killed and run again. What was there lies in `aside/` of the vault. A vault that belongs to another user is mended by that user; the command names them. In a keeper's folder, with `keeper run` stopped, whole copies come from the vaults that it pulls from (`source-0` …): `safehold vault repair --yes --data FOLDER`. Where the core is lost, other vaults still mend each other; what only the core would have stays, until it is recovered.

Exit code 0: all is mended. 1: something remains; it is listed with `repaired_from: null`. Then no vault and no core has it any more: `safehold recover plan` says which items that touches, and devices that still have them can bring them back.""",
                """Un servicio en marcha cierra aquello a lo que añade y continúa. Puede matarse y ejecutarse otra vez. Lo que había queda en `aside/` de la bóveda. Una bóveda que pertenece a otro usuario la repara ese usuario; el comando lo nombra. En la carpeta de un guardián, con `keeper run` parado, las copias enteras vienen de las bóvedas de las que copia (`source-0` …): `safehold vault repair --yes --data FOLDER`. Si el núcleo se ha perdido, las otras bóvedas aún se reparan entre sí; lo que solo tendría el núcleo se queda así hasta que se recupere.

Código 0: todo está reparado. 1: queda algo; aparece con `repaired_from: null`. Entonces ni bóveda ni núcleo lo tienen ya: `safehold recover plan` dice a qué elementos afecta, y los dispositivos que aún los tengan pueden devolverlos.""",
            ),
            Gives(),
            ("vault", "repair", "--yes"),
            changes=Text(
                "damaged objects are replaced; what was there lies in `aside/`",
                "se sustituyen los objetos dañados; lo que había queda en `aside/`",
            ),
            dangerous=True,
        ),
        scrubbed(),
        Step(
            "cause",
            Text("Look for the cause", "Busque la causa"),
            Text(
                "Every scrub and repair is kept as signed evidence in every vault; `status` shows the last scrub of each. Look for the cause: a vault that was damaged once is scrubbed weekly, and its disk watched. `aside/` is emptied by retention.",
                "Cada revisión y reparación queda como evidencia firmada en cada bóveda; `status` muestra la última revisión de cada una. Busque la causa: una bóveda que se dañó una vez se revisa cada semana, y se vigila su disco. `aside/` lo vacía la retención.",
            ),
            Asks(
                Text("Is the cause known, or noted to be looked for?", "¿Se conoce la causa, o está anotado buscarla?")
            ),
        ),
    ),
)
