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


VAULT = Asked("vault", Text("Which vault? (its name)", "¿Qué bóveda? (su nombre)"), "near")
ACCOUNT = Asked("account", Text("Whose account? (its name)", "¿La cuenta de quién? (su nombre)"), "ada")
WHY = Asked("why", Text("Why? (for the record)", "¿Por qué? (para el registro)"), "another disk")
RECOVERY_KEY = Asked(
    "identity",
    Text("In which file is the recovery key?", "¿En qué fichero está la clave de recuperación?"),
    "recovery.txt",
)
