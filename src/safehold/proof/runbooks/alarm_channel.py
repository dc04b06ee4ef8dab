"""An alarm does not arrive where it should."""

from __future__ import annotations

from safehold.proof.runbooks.value import Asks, Case, Expect, Gives, Runbook, Sort, Step, Test, Text

_BROKEN = Case(
    "broken", Text("a channel failed, or what was sent did not arrive", "falló un canal, o lo enviado no llegó")
)

RUNBOOK = Runbook(
    name="alarm-channel",
    title=Text("An alarm does not arrive", "Una alarma no llega"),
    sort=Sort.CONTINGENCY,
    when=Text(
        "a test of the alarm channels failed, mail bounces, a webhook answers with an error, an outside monitor missed the heartbeat though the service runs, or somebody learnt of trouble otherwise than by an alarm. An alarm that nobody receives is no alarm: see to this before whatever it was to tell.",
        "falló una prueba de los canales de alarma, el correo rebota, un webhook responde con un error, un vigilante externo echó en falta el latido aunque el servicio corre, o alguien supo de un problema de otro modo que por una alarma. Una alarma que nadie recibe no es una alarma: atienda esto antes que aquello de lo que iba a avisar.",
    ),
    steps=(
        Step(
            "list",
            Text("See which alarms stand", "Vea qué alarmas hay"),
            Text(
                "What stands now, since when, and whether it has been told. Do not wait for the channel: act on what is there.",
                "Qué hay ahora, desde cuándo, y si se ha comunicado. No espere al canal: actúe sobre lo que haya.",
            ),
            Gives((0, 1)),
            ("alarm", "list"),
        ),
        Step(
            "test",
            Text("Try every channel", "Pruebe todos los canales"),
            Text(
                "It sends a test through every configured webhook, address and command, and says of each whether it was taken and why not. That a mail server took a letter does not mean that somebody gets it: see the next step.",
                "Envía una prueba por cada webhook, dirección y comando configurados, y dice de cada uno si se aceptó y, si no, por qué. Que un servidor de correo acepte una carta no significa que alguien la reciba: vea el paso siguiente.",
            ),
            Gives((0, 1, 3)),
            ("alarm", "test"),
            changes=Text("a test is sent, and kept as evidence", "se envía una prueba, y queda como evidencia"),
        ),
        Step(
            "received",
            Text("Ask who should have got it", "Pregunte a quien debió recibirla"),
            Text(
                "Each of them, by another way than the channel: a telephone. Look into the folder for unwanted mail.",
                "A cada uno, por otra vía que el canal: un teléfono. Miren en la carpeta de correo no deseado.",
            ),
            Asks(Text("Do you know of each channel whether it arrived?", "¿Sabe de cada canal si llegó?")),
        ),
        Step(
            "mend",
            Text("Mend the channel", "Repare el canal"),
            Text(
                """In `safehold.toml`, and restart the service afterwards:

- mail: the section `[mail]` (server, port, encryption, user, sender), the addresses in `[alarms] mail`; whether the provider of the addresses refuses the sender.
- webhook: the URL in `[alarms] webhooks`; whether the token in it has run out; whether the machine may connect outwards.
- command: that the user of the service may run it, and that it ends with 0.
- heartbeat: the URL in `[alarms] heartbeat`, and at the monitor after how many minutes it alarms.

Have two channels that do not fail together.""",
                """En `safehold.toml`, y reinicie después el servicio:

- correo: la sección `[mail]` (servidor, puerto, cifrado, usuario, remitente), las direcciones en `[alarms] mail`; si el proveedor de las direcciones rechaza al remitente.
- webhook: la URL en `[alarms] webhooks`; si ha caducado el testigo que lleva; si la máquina puede conectarse hacia fuera.
- comando: que el usuario del servicio pueda ejecutarlo, y que termine con 0.
- latido: la URL en `[alarms] heartbeat`, y en el vigilante a los cuántos minutos da la alarma.

Tenga dos canales que no fallen a la vez.""",
            ),
            Asks(Text("Is the channel mended?", "¿Está reparado el canal?")),
            changes=Text("the configuration of alarms", "la configuración de las alarmas"),
            only=_BROKEN,
        ),
        Step(
            "again",
            Text("Try every channel again", "Pruebe otra vez todos los canales"),
            Text(
                "It must end with 0, and name a channel at least.", "Debe terminar con 0, y nombrar al menos un canal."
            ),
            Gives((0,), (Expect("ok", Test.IS, True), Expect("channels", Test.FILLED))),
            ("alarm", "test"),
            changes=Text("a test is sent, and kept as evidence", "se envía una prueba, y queda como evidencia"),
        ),
        Step(
            "arrived",
            Text("Ask again", "Pregunte otra vez"),
            Text("Whoever has night duty included.", "También a quien está de guardia por la noche."),
            Asks(Text("Has everybody got it?", "¿La ha recibido todo el mundo?")),
        ),
    ),
)
