"""A vault is gone, or does not answer."""

from __future__ import annotations

from safehold.proof.runbooks.common import OTHER, VAULT, WHY, another_instead, made_anew, scrubbed
from safehold.proof.runbooks.value import Asks, Case, Expect, Gives, Runbook, Sort, Step, Test, Text

_BACK = Case(
    "comes-back",
    Text(
        "it can be brought back: a mount, a cable, a keeper",
        "se puede traer de vuelta: un montaje, un cable, un guardián",
    ),
)
_ANEW = Case(
    "gone-for-good",
    Text("it is gone for good, and is to be made anew", "se ha perdido para siempre, y hay que hacerla de nuevo"),
)
_INSTEAD = Case(
    "changes-wait",
    Text(
        "it was the only sync vault, so that changes wait, and it cannot come back soon",
        "era la única bóveda síncrona, de modo que los cambios esperan, y no puede volver pronto",
    ),
)

RUNBOOK = Runbook(
    name="lost-vault",
    title=Text("A vault is gone, or does not answer", "Una bóveda ha desaparecido o no responde"),
    sort=Sort.CONTINGENCY,
    when=Text(
        "`safehold status` says *the vault NAME is not at …* or *does not answer*.",
        "`safehold status` dice *the vault NAME is not at …* o *does not answer*.",
    ),
    asked=(
        VAULT,
        OTHER,
        WHY,
    ),
    steps=(
        Step(
            "look",
            Text("See what still holds", "Vea qué se mantiene"),
            Text(
                "While a *sync* vault is away the service takes no change: it answers 503, devices keep what they have and try again. Reading goes on. An *async* vault that is away stops nothing; `unarchived` counts what it lacks. A folder that is missing is never taken for an empty vault, and never made anew by itself.",
                "Mientras falta una bóveda *síncrona* el servicio no acepta ningún cambio: responde 503, los dispositivos conservan lo que tienen y lo intentan de nuevo. La lectura continúa. Una bóveda *asíncrona* ausente no detiene nada; `unarchived` cuenta lo que le falta. Una carpeta que falta nunca se toma por una bóveda vacía, y nunca se hace de nuevo por sí sola.",
            ),
            Gives(),
            ("status",),
        ),
        Step(
            "bring-back",
            Text("Bring it back", "Tráigala de vuelta"),
            Text(
                """- **A disk or mount**: mount it at the place that `status` names. The service goes on by itself, and an async vault is brought level.
- **`keeper:`**: start the keeper, as its user: `safehold keeper run --data FOLDER`. See [keeper](keeper.md).
- **It hangs** (*does not answer*): end what hangs, a network mount above all. The service waits for nobody who only looks.""",
                """- **Un disco o montaje**: móntelo en el lugar que nombra `status`. El servicio continúa solo, y una bóveda asíncrona se pone al día.
- **`keeper:`**: inicie el guardián, como su usuario: `safehold keeper run --data FOLDER`. Vea [keeper](keeper.md).
- **Está colgada** (*does not answer*): termine lo que se cuelga, sobre todo un montaje de red. El servicio no espera a quien solo mira.""",
            ),
            Gives((0,), (Expect("vaults.name={vault}.state", Test.IS, "reachable"),), ("status",)),
            only=_BACK,
        ),
        another_instead(
            "instead",
            Text("Let answers wait for another vault", "Haga que las respuestas esperen a otra bóveda"),
            Text(
                "Another vault takes the place of the one that is away in one step; changes are taken again from then on. What it lacks comes from the core; the record, with its reason, lies in the vaults that are there.",
                "Otra bóveda ocupa en un solo paso el lugar de la ausente; desde entonces se vuelven a aceptar cambios. Lo que le falta viene del núcleo; el registro, con su razón, queda en las bóvedas que están.",
            ),
            _INSTEAD,
        ),
        made_anew(
            "{vault}",
            Text("Make it anew", "Hágala de nuevo"),
            Text(
                "It makes the vault, at the URL that is configured, from the others, and brings it level, while the service runs or not; the service then goes on by itself. For another place write its `url` into `safehold.toml` first. The old disk still holds everything, encrypted: it opens to whoever has the recovery key.",
                "Hace la bóveda, en la URL configurada, a partir de las otras, y la pone al día, corra el servicio o no; el servicio continúa luego solo. Para otro lugar escriba antes su `url` en `safehold.toml`. El disco viejo aún lo contiene todo, cifrado: se abre a quien tenga la clave de recuperación.",
            ),
            _ANEW,
        ),
        scrubbed(),
        Step(
            "modes",
            Text("Put the modes back", "Devuelva los modos"),
            Text(
                """Where answers are to wait for another vault from now on, or for this one again, and on record with its reason:

    safehold vault mode far sync --why "another disk"
    safehold vault mode near async --yes --why "another disk\"""",
                """Si desde ahora las respuestas han de esperar a otra bóveda, o de nuevo a esta, y con su razón registrada:

    safehold vault mode far sync --why "another disk"
    safehold vault mode near async --yes --why "another disk\"""",
            ),
            Asks(Text("Is every vault's mode what it should be?", "¿Es el modo de cada bóveda el que debe ser?")),
        ),
    ),
)
