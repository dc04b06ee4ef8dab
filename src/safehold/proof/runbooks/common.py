"""Steps and questions that several runbooks have in common."""

from __future__ import annotations

from safehold.proof.runbooks.value import Asked, Case, Expect, Gives, Step, Test, Text


def stop(only: Case | None = None) -> Step:
    return Step(
        "stop",
        Text("Stop the service", "Pare el servicio"),
        Text(
            "`systemctl stop safehold`, or Ctrl-C where it runs on a terminal. It finishes what is under way, ships and seals. Phones that get no answer keep "
            "what they have.",
            "`systemctl stop safehold`, o Ctrl-C si corre en una terminal. Termina lo que está en curso, lo envía y lo sella. Los teléfonos que no reciben "
            "respuesta conservan lo que tienen.",
        ),
        Gives(expects=(Expect("service", Test.IS, "stopped"),), command=("status",)),
        changes=Text(
            "nobody is served until it is started again", "no se atiende a nadie hasta que se vuelva a iniciar"
        ),
        only=only,
    )


def start(only: Case | None = None, text: Text | None = None) -> Step:
    return Step(
        "start",
        Text("Start the service", "Inicie el servicio"),
        text
        or Text(
            "`systemctl start safehold`, or `safehold serve`.",
            "`systemctl start safehold`, o `safehold serve`.",
        ),
        Gives(expects=(Expect("service", Test.IS, "serving"),), command=("status",)),
        changes=Text("devices are served", "se atiende a los dispositivos"),
        only=only,
    )


def checked(name: str = "checked", only: Case | None = None) -> Step:
    return Step(
        name,
        Text("See that nothing is unmet", "Compruebe que no queda nada pendiente"),
        Text(
            "It ends with 0 where there is no incident, no open recovery and no objective at risk or violated. What it names otherwise is the next thing to see to.",
            "Termina con 0 si no hay ningún incidente, ninguna recuperación abierta ni ningún objetivo en riesgo o incumplido. Lo que nombre en otro caso es lo "
            "siguiente que hay que atender.",
        ),
        Gives(),
        ("status", "--check"),
        only=only,
    )


def scrubbed(name: str = "scrubbed", only: Case | None = None) -> Step:
    return Step(
        name,
        Text("Read every vault whole", "Lea todas las bóvedas por completo"),
        Text(
            "It must end with 0: every byte that seals speak of is there and right.",
            "Debe terminar con 0: cada byte del que hablan los sellos está y es correcto.",
        ),
        Gives(expects=(Expect("ok", Test.IS, True),)),
        ("scrub",),
        only=only,
    )


def snapshotted(name: str = "snapshot") -> Step:
    return Step(
        name,
        Text("Write a generation", "Escriba una generación"),
        Text(
            "What is new goes into every vault in reach, sorted for recovery, and is sealed. With 3 it names a vault that is away, which was left out.",
            "Lo nuevo va a cada bóveda alcanzable, ordenado para recuperar, y queda sellado. Con 3 nombra una bóveda ausente, que quedó fuera.",
        ),
        Gives(expects=(Expect("sealed", Test.IS, True),)),
        ("snapshot",),
        changes=Text("a generation is added to the vaults", "se añade una generación a las bóvedas"),
    )


def loss_accepted(text: Text, only: Case) -> Step:
    return Step(
        "accept-loss",
        Text("Say that there is no more", "Diga que no hay más"),
        text,
        Gives((0, 1)),
        ("recover", "run", "--yes", "--accept-loss"),
        changes=Text("lists are given again", "se vuelven a dar listas"),
        dangerous=True,
        only=only,
    )


_NEW_WRITER = Text("Make a new writer's key", "Haga una nueva clave de escritor")
_NEW_IDENTITY = Text(
    "Make a new identity, and keep the new recovery key",
    "Haga una nueva identidad, y guarde la nueva clave de recuperación",
)
_PRINT_IT = Text(
    "a new recovery key opens everything; print it", "una nueva clave de recuperación lo abre todo; imprímala"
)
_FILLED = Text("a vault is made, and filled from the others", "se hace una bóveda, y se llena a partir de las otras")


def new_writer(
    text: Text,
    only: Case | None = None,
    *,
    name: str = "new-writer",
    title: Text = _NEW_WRITER,
) -> Step:
    return Step(
        name,
        title,
        text,
        Gives(),
        ("vault", "keys", "rotate", "writer", "--yes"),
        changes=Text(
            "what the old key signs from now on counts for nothing",
            "lo que firme la clave vieja desde ahora no vale nada",
        ),
        dangerous=True,
        only=only,
    )


def new_identity(
    text: Text,
    only: Case | None = None,
    *,
    name: str = "new-identity",
    title: Text = _NEW_IDENTITY,
    changes: Text = _PRINT_IT,
) -> Step:
    return Step(
        name,
        title,
        text,
        Gives(),
        ("vault", "keys", "rotate", "identity", "--yes"),
        changes=changes,
        dangerous=True,
        only=only,
    )


def made_anew(
    vault: str,
    title: Text,
    text: Text,
    only: Case | None = None,
    *,
    name: str = "anew",
    changes: Text = _FILLED,
) -> Step:
    """`vault` is what was asked for: `{vault}`."""
    return Step(
        name,
        title,
        text,
        Gives((0,), (Expect(f"vaults.name={vault}.state", Test.IS, "reachable"),), ("status",)),
        ("vault", "add", vault),
        changes=changes,
        only=only,
    )


def another_instead(name: str, title: Text, text: Text, only: Case) -> Step:
    """Answers wait for the vault OTHER from now on, and for VAULT no more."""
    return Step(
        name,
        title,
        text,
        Gives((0,), (Expect("vaults.name={other}.mode", Test.IS, "sync"),), ("status",)),
        ("vault", "mode", "{other}", "sync", "--instead-of", "{vault}", "--yes", "--why", "{why}"),
        changes=Text(
            "which vault an answer waits for, on record", "a qué bóveda espera una respuesta, y queda registrado"
        ),
        dangerous=True,
        only=only,
    )


VAULT = Asked("vault", Text("Which vault? (its name)", "¿Qué bóveda? (su nombre)"), "near")
ACCOUNT = Asked("account", Text("Whose account? (its name)", "¿La cuenta de quién? (su nombre)"), "ada")
OTHER = Asked(
    "other", Text("Which vault takes its place? (its name)", "¿Qué bóveda ocupa su lugar? (su nombre)"), "far"
)
WHY = Asked("why", Text("Why? (for the record)", "¿Por qué? (para el registro)"), "another disk")
RECOVERY_KEY = Asked(
    "identity",
    Text("In which file is the recovery key?", "¿En qué fichero está la clave de recuperación?"),
    "recovery.txt",
)
