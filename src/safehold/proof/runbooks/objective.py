"""An objective is violated, at risk, or will be before long."""

from __future__ import annotations

from safehold.proof.runbooks.common import checked
from safehold.proof.runbooks.value import Asks, Case, Expect, Gives, Runbook, Section, Sort, Step, Test, Text

_RPO = Case("rpo", Text("it is the RPO: a vault is behind", "es el RPO: una bóveda va atrasada"))
_RTO = Case("rto", Text("it is the RTO or first contact", "es el RTO o el primer contacto"))

RUNBOOK = Runbook(
    name="objective",
    title=Text(
        "An objective is not met, or will not be before long", "Un objetivo no se cumple, o pronto no se cumplirá"
    ),
    sort=Sort.PREVENTION,
    when=Text(
        "`status` shows `rpo`, `rto` or `first_contact` as *at risk* or *violated*, or a forecast says in how many days it will be. Nothing is lost: it says what a disaster now would cost.",
        "`status` muestra `rpo`, `rto` o `first_contact` como *at risk* o *violated*, o una previsión dice en cuántos días lo estará. No se ha perdido nada: dice qué costaría un desastre ahora.",
    ),
    steps=(
        Step(
            "look",
            Text("See which, and why", "Vea cuál, y por qué"),
            Text(
                "Each objective has a target, what was measured, and a reason. RPO: how much would be lost if the core went now. RTO: how long until all is back. First contact: how long until the first who asks is served.",
                "Cada objetivo tiene una meta, lo medido y una razón. RPO: cuánto se perdería si el núcleo desapareciera ahora. RTO: cuánto hasta que todo esté de vuelta. Primer contacto: cuánto hasta atender al primero que pide.",
            ),
            Gives((0,), (Expect("objectives.rto.state", Test.FILLED),)),
            ("status",),
        ),
        Step(
            "level",
            Text("Bring the vaults level", "Ponga las bóvedas al día"),
            Text(
                "One that is away: [lost-vault](lost-vault.md). A service that does not run: [silent-writer](silent-writer.md). One that is only slow: a faster disk or line, or a longer RPO.",
                "Una ausente: [lost-vault](lost-vault.md). Un servicio que no corre: [silent-writer](silent-writer.md). Una que solo es lenta: un disco o una línea más rápidos, o un RPO más largo.",
            ),
            Gives((0,), (Expect("vaults.*.unarchived_changes", Test.IS, 0),)),
            ("status",),
            only=_RPO,
        ),
        Step(
            "snapshot",
            Text("Shorten what a recovery has to read", "Acorte lo que ha de leer una recuperación"),
            Text(
                "A long log since the last generation is read change by change; a generation is read sorted, and at once.",
                "Un registro largo desde la última generación se lee cambio a cambio; una generación se lee ordenada, y de una vez.",
            ),
            Gives((0,), (Expect("sealed", Test.IS, True),)),
            ("snapshot",),
            changes=Text("a generation is added to the vaults", "se añade una generación a las bóvedas"),
            only=_RTO,
        ),
        Step(
            "drill",
            Text("Measure it", "Mídalo"),
            Text(
                "A forecast from an old drill, at another size, is worth little. This one is timed, stage by stage.",
                "Una previsión a partir de un simulacro viejo, con otro tamaño, vale poco. Este se cronometra, etapa por etapa.",
            ),
            Gives((0,), (Expect("ok", Test.IS, True),)),
            ("drill", "run"),
            changes=Text("evidence is added", "se añade evidencia"),
            only=_RTO,
        ),
        Step(
            "decide",
            Text("Decide", "Decida"),
            Text(
                "What it takes to meet it (below), or a target that can be met, in `[objectives]` of `safehold.toml`, agreed with whoever it was promised to. A target that is only changed so that the page is green is a promise broken in advance.",
                "Lo que hace falta para cumplirlo (abajo), o una meta que se pueda cumplir, en `[objectives]` de `safehold.toml`, acordada con aquellos a quienes se prometió. Una meta que solo se cambia para que la página esté en verde es una promesa rota de antemano.",
            ),
            Asks(Text("Is it decided, and by whom?", "¿Está decidido, y por quién?")),
        ),
        checked(),
    ),
    more=(
        Section(
            Text("What makes a recovery faster", "Qué hace más rápida una recuperación"),
            Text(
                """- a vault on a disk or line that reads faster; `status` names the source that the forecast is for;
- snapshots more often (`[snapshots]`);
- a machine with more cores and memory;
- a shorter retention, or quotas: less to bring back;
- serving while recovering needs the key beside the core: an identity that lies elsewhere waits for a person.""",
                """- una bóveda en un disco o una línea que lea más deprisa; `status` nombra la fuente de la que habla la previsión;
- instantáneas más a menudo (`[snapshots]`);
- una máquina con más núcleos de proceso y memoria;
- una retención más corta, o cuotas: menos que traer de vuelta;
- servir mientras se recupera necesita la clave junto al núcleo: una identidad que está en otro lugar espera a una persona.""",
            ),
        ),
    ),
)
