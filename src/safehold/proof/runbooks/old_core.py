"""An old core has come back: a restored image, a copied folder, a machine that was thought to be off."""

from __future__ import annotations

from safehold.proof.runbooks.common import checked, start, stop
from safehold.proof.runbooks.value import Asked, Case, Expect, Gives, Runbook, Sort, Step, Test, Text

_OTHER = Case(
    "other-history",
    Text(
        "the plan says that the core is *of another history*: something was written to it that no vault has",
        "el plan dice que el núcleo es *of another history*: se escribió en él algo que ninguna bóveda tiene",
    ),
)

RUNBOOK = Runbook(
    name="old-core",
    title=Text("An old core is back", "Ha vuelto un núcleo viejo"),
    sort=Sort.CONTINGENCY,
    when=Text(
        "an image or copy of the machine was restored, a folder `core/` was copied back, or two machines have served with one data folder. A writer whose timeline is not the highest is refused, and told why. Nothing that the vaults hold is lost by it; what was written to the old core alone can be salvaged.",
        "se restauró una imagen o copia de la máquina, se copió de vuelta una carpeta `core/`, o dos máquinas han servido con una misma carpeta de datos. A un escritor cuya línea temporal no es la más alta se le rechaza, y se le dice por qué. No se pierde con ello nada de lo que tienen las bóvedas; lo que se escribió solo en el núcleo viejo se puede rescatar.",
    ),
    asked=(
        Asked(
            "old",
            Text(
                "Where is the old core? (the folder core/, or a copy of it)",
                "¿Dónde está el núcleo viejo? (la carpeta core/, o una copia)",
            ),
            "/srv/old/core",
        ),
        Asked(
            "salvage",
            Text("Into which folder is it to be salvaged?", "¿En qué carpeta hay que rescatarlo?"),
            "/srv/salvage",
            "salvage",
        ),
    ),
    steps=(
        stop(),
        Step(
            "plan",
            Text("Look", "Mire"),
            Text(
                "**the core is** `behind`: it is older, and takes in what it lacks. `of another history`: it went on by itself from an earlier state; it is moved aside and kept. `whole`: it is not old.",
                "**the core is** (el núcleo está) `behind`: es más viejo, e incorpora lo que le falta. `of another history`: siguió por su cuenta desde un estado anterior; se aparta y se conserva. `whole`: no es viejo.",
            ),
            Gives((0, 1), (Expect("changes_expected", Test.LEAST, 1),)),
            ("recover", "plan"),
            changes=Text("it writes `recovery-plan.json`", "escribe `recovery-plan.json`"),
        ),
        Step(
            "run",
            Text("Recover", "Recupere"),
            Text(
                "A new timeline is claimed: whatever still writes elsewhere with the old core is refused from now on. What was moved aside lies in `scratch/`.",
                "Se reclama una nueva línea temporal: lo que aún escriba en otro sitio con el núcleo viejo es rechazado desde ahora. Lo apartado queda en `scratch/`.",
            ),
            Gives((0, 1), (Expect("changes_recovered", Test.LEAST, 1),)),
            ("recover", "run", "--yes"),
            changes=Text("the core has all that the vaults have", "el núcleo tiene todo lo que tienen las bóvedas"),
            dangerous=True,
        ),
        Step(
            "salvage",
            Text("Salvage what only the old core has", "Rescate lo que solo tiene el núcleo viejo"),
            Text(
                "It reads the old core and writes only below the given folder.",
                "Lee el núcleo viejo y solo escribe bajo la carpeta dada.",
            ),
            Gives((0, 1), (Expect("changes.chain", Test.LEAST, 1),)),
            ("salvage", "{old}", "--out", "{salvage}"),
            changes=Text(
                "it fills the given folder with personal data in the clear",
                "llena la carpeta dada de datos personales sin cifrar",
            ),
            only=_OTHER,
        ),
        Step(
            "put-back",
            Text("Put it back", "Repóngalo"),
            Text(
                "What the streams do not know better comes back as new changes; nothing that was deleted or replaced since does.",
                "Lo que los flujos no sepan mejor vuelve como cambios nuevos; nada que se borrara o sustituyera desde entonces.",
            ),
            Gives((0, 1), (Expect("changes_recovered", Test.LEAST, 1),)),
            ("recover", "run", "--yes", "--salvage", "{salvage}"),
            changes=Text(
                "what only the old core had is entered as new changes",
                "lo que solo tenía el núcleo viejo entra como cambios nuevos",
            ),
            dangerous=True,
            only=_OTHER,
        ),
        start(),
        Step(
            "reconciled",
            Text("Compare core and vaults", "Compare el núcleo y las bóvedas"),
            Text("It must end with 0.", "Debe terminar con 0."),
            Gives((0,), (Expect("ok", Test.IS, True), Expect("reconciled.differences", Test.EMPTY))),
            ("scrub", "--reconcile"),
        ),
        checked(),
    ),
)
