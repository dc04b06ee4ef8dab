"""What a report says, in English and Spanish. Each entry is a pair, so that neither language lacks one."""

from __future__ import annotations

LANGUAGES = ("en", "es")

_WORDS: dict[str, tuple[str, str]] = {
    # -- cover
    "title": ("Evidence that everything can be given back", "Pruebas de que todo se puede devolver"),
    "subtitle": ("{begin} to {end}", "Del {begin} al {end}"),
    "cover.installation": ("Installation (fingerprint)", "Instalación (huella)"),
    "cover.period": ("Period (UTC, both days included)", "Período (UTC, ambos días incluidos)"),
    "cover.made": ("Made at (UTC)", "Elaborado el (UTC)"),
    "cover.by": ("Made by", "Elaborado por"),
    "cover.version": ("Made with", "Elaborado con"),
    "cover.records": ("Signed records in the period", "Registros firmados del período"),
    "cover.digest": ("Digest of these records (SHA-256)", "Resumen de estos registros (SHA-256)"),
    "cover.samples": ("Recorded states of the service", "Estados del servicio anotados"),
    "contents": ("Contents", "Contenido"),
    "page": ("Page {page} of {pages}", "Página {page} de {pages}"),
    # -- verdicts
    "verdict.records.ok": ("All {count} records of the period hold.", "Los {count} registros del período son válidos."),
    "verdict.records.bad": (
        "{count} records were refused or are missing: section “{section}” names them.",
        "{count} registros se rechazaron o faltan: la sección «{section}» los nombra.",
    ),
    "verdict.records.told": (
        "{count} records are missing, which a keeper’s record has told of before.",
        "Faltan {count} registros, de lo que ya informó un registro del custodio.",
    ),
    "verdict.away": (
        "Vaults that could not be read: {names}. What only they hold is not here.",
        "Bóvedas que no se pudieron leer: {names}. Lo que solo ellas tienen no está aquí.",
    ),
    "verdict.drills.ok": (
        "{count} recovery drills, all of them equal to what the service held.",
        "{count} simulacros de recuperación, todos iguales a lo que el servicio guardaba.",
    ),
    "verdict.drills.bad": (
        "{bad} of {count} recovery drills found a difference or damage.",
        "{bad} de {count} simulacros de recuperación hallaron una diferencia o un daño.",
    ),
    "verdict.drills.none": ("There was no recovery drill.", "No hubo ningún simulacro de recuperación."),
    "verdict.objectives.ok": (
        "No objective was seen violated on any recorded day.",
        "En ningún día anotado se vio incumplido un objetivo.",
    ),
    "verdict.objectives.bad": (
        "Objectives violated: {names}.",
        "Objetivos incumplidos: {names}.",
    ),
    "verdict.objectives.none": (
        "How the objectives stood was not recorded in this period.",
        "En este período no se anotó cómo estaban los objetivos.",
    ),
    "verdict.gaps.ok": ("Every day has a record of its own.", "Cada día tiene algún registro."),
    "verdict.gaps.bad": (
        "{days} of {all} days have no record at all.",
        "{days} de {all} días no tienen ningún registro.",
    ),
    "days": ("{count} days", "{count} días"),
    "days.one": ("{count} day", "{count} día"),
    # -- sections
    "section.summary": ("Summary", "Resumen"),
    "section.objectives": ("Objectives", "Objetivos"),
    "section.drills": ("Recovery drills", "Simulacros de recuperación"),
    "section.scrubs": ("Scrubs: every byte read", "Comprobaciones: cada byte leído"),
    "section.repairs": ("Repairs", "Reparaciones"),
    "section.attests": ("Replays and attestations", "Reproducciones y atestaciones"),
    "section.recoveries": ("Recoveries", "Recuperaciones"),
    "section.alarms": ("Tests of alarm channels", "Pruebas de los canales de alarma"),
    "section.runbooks": ("Runbooks that people were walked through", "Guías seguidas por personas"),
    "section.surprises": (
        "Surprises: how people did unprepared",
        "Sorpresas: cómo respondieron las personas sin aviso",
    ),
    "section.others": ("Other records", "Otros registros"),
    "section.gaps": ("Gaps: what was not proved", "Huecos: lo que no se demostró"),
    "section.refused": ("Records refused or missing", "Registros rechazados o ausentes"),
    "section.demands": ("Appendix A: what frameworks ask", "Anexo A: qué piden los marcos"),
    "section.records": ("Appendix B: all records of the period", "Anexo B: todos los registros del período"),
    "section.verify": ("Appendix C: how to verify this report", "Anexo C: cómo verificar este informe"),
    "detail": ("In detail", "En detalle"),
    "none": ("There is no such record in this period.", "No hay ningún registro así en este período."),
    # -- column headings
    "col.record": ("no.", "n.º"),
    "col.at": ("at (UTC)", "momento (UTC)"),
    "col.began": ("began (UTC)", "empezó (UTC)"),
    "col.vault": ("vault", "bóveda"),
    "col.scope": ("scope", "alcance"),
    "col.to": ("point", "punto"),
    "col.result": ("result", "resultado"),
    "col.roots": ("roots equal", "raíces iguales"),
    "col.compared": ("of", "de"),
    "col.accounts": ("accounts", "cuentas"),
    "col.changes": ("changes", "cambios"),
    "col.items": ("items", "elementos"),
    "col.requests": ("requests", "peticiones"),
    "col.rule": ("sample", "muestra"),
    "col.approved": ("approved by", "aprobó"),
    "col.seconds": ("seconds", "segundos"),
    "col.waited": ("throttled s", "frenado s"),
    "col.contact": ("first contact s", "primer contacto s"),
    "col.forecast": ("forecast s", "previsto s"),
    "col.error": ("off by %", "desvío %"),
    "col.objective": ("objective s", "objetivo s"),
    "col.within": ("within it", "dentro"),
    "col.stage": ("{name} s", "{name} s"),
    "col.what": ("what", "qué"),
    "col.level": ("level", "nivel"),
    "col.objects": ("objects", "objetos"),
    "col.bytes": ("bytes", "bytes"),
    "col.damaged": ("damaged", "dañados"),
    "col.repaired": ("repaired", "reparados"),
    "col.remaining": ("remaining", "pendientes"),
    "col.generation": ("generation", "generación"),
    "col.streams": ("streams", "flujos"),
    "col.how": ("how", "cómo"),
    "col.timeline": ("timeline", "línea"),
    "col.expected": ("expected", "esperados"),
    "col.recovered": ("recovered", "recuperados"),
    "col.exact": ("exact", "exactos"),
    "col.older": ("older", "anteriores"),
    "col.lost": ("lost", "perdidos"),
    "col.unknown": ("unknown s", "desconocido s"),
    "col.channel": ("channel", "canal"),
    "col.why": ("why", "por qué"),
    "col.by": ("by", "por"),
    "col.name": ("name", "nombre"),
    "col.steps": ("steps", "pasos"),
    "col.step": ("step", "paso"),
    "col.runbook": ("runbook", "guía"),
    "col.limit": ("limit s", "límite s"),
    "col.undone": ("put back at its end", "repuesto al final"),
    "col.answer": ("answer", "respuesta"),
    "col.command": ("command", "orden"),
    "col.exit": ("exit", "salida"),
    "col.kind": ("kind", "tipo"),
    "col.facts": ("facts", "hechos"),
    "col.object": ("record", "registro"),
    "col.problem": ("problem", "problema"),
    "col.told": ("told of in", "comunicado en"),
    "col.signed": ("signed by", "firmó"),
    "col.copies": ("held by", "está en"),
    "col.digest": ("SHA-256", "SHA-256"),
    "col.target": ("target s", "meta s"),
    "col.last": ("last measured s", "última medida s"),
    "col.state": ("last state", "último estado"),
    "col.met": ("days met", "días cumplido"),
    "col.risk": ("at risk", "en riesgo"),
    "col.violated": ("violated", "incumplido"),
    "col.unknown-days": ("unknown", "desconocido"),
    "col.unrecorded": ("not recorded", "sin anotar"),
    "col.days": ("days", "días"),
    "col.from": ("from", "desde"),
    "col.until": ("until", "hasta"),
    "col.most": ("at most", "como máximo"),
    "col.day": ("days from", "días desde"),
    "col.greatest": ("{name}: greatest s", "{name}: máx. s"),
    "col.median": ("{name}: median s", "{name}: mediana s"),
    "col.low": ("low s", "mín. s"),
    "col.high": ("high s", "máx. s"),
    "col.first": ("first", "primero"),
    "col.latest": ("last", "último"),
    "col.first-bytes": ("bytes at first", "bytes al principio"),
    "col.latest-bytes": ("bytes at last", "bytes al final"),
    "col.framework": ("framework", "marco"),
    "col.asks": ("what it asks", "qué pide"),
    "col.here": ("what this report shows of it", "qué muestra este informe"),
    "col.not-here": ("what it does not show", "qué no muestra"),
    "col.ok": ("ok", "bien"),
    "col.bad": ("not", "no"),
    # -- states and values
    "yes": ("yes", "sí"),
    "no": ("no", "no"),
    "equal": ("equal", "igual"),
    "differs": ("differs", "difiere"),
    "whole": ("whole", "entero"),
    "rolling": ("rolling {part}/{of}", "por turnos {part}/{of}"),
    "latest": ("latest", "último"),
    "schedule": ("schedule", "calendario"),
    "nothing-wrong": ("nothing wrong", "nada mal"),
    "found": ("{count} found", "{count} hallados"),
    "attested": ("attested", "atestada"),
    "not-attested": ("not attested", "no atestada"),
    "suspect": (
        "From {at} on the log of {vault} is suspect: {why}",
        "A partir de {at} el registro de {vault} es sospechoso: {why}",
    ),
    "suspect.frame": (
        "From {at} on, after frame {frame}, the log of {vault} is suspect: {why}",
        "A partir de {at}, tras el marco {frame}, el registro de {vault} es sospechoso: {why}",
    ),
    "verified": ("verified", "verificada"),
    "not-verified": ("not verified", "no verificada"),
    "arrived": ("arrived", "llegó"),
    "not-arrived": ("did not arrive", "no llegó"),
    "done": ("done", "hecho"),
    "not-done": ("not done", "sin terminar"),
    "repaired": ("all repaired", "todo reparado"),
    "in-time": ("put right in time", "resuelto a tiempo"),
    "not-in-time": ("not in time", "no a tiempo"),
    "repaired.from": ("{what}: mended from {source}", "{what}: reparado desde {source}"),
    "repaired.not": ("{what}: still damaged", "{what}: sigue dañado"),
    "repaired.made-up": ("{what}: made up for elsewhere", "{what}: compensado en otra parte"),
    "scrub.link": ("the record before {name} is gone", "falta el registro anterior a {name}"),
    "remains": ("{count} remain", "quedan {count}"),
    "installation": ("installation", "instalación"),
    "state.met": ("met", "cumplido"),
    "state.at risk": ("at risk", "en riesgo"),
    "state.violated": ("violated", "incumplido"),
    "state.unknown": ("unknown", "desconocido"),
    "state.not set": ("not set", "sin fijar"),
    "objective.rpo": ("RPO: what may be lost", "RPO: lo que se puede perder"),
    "objective.rto": ("RTO: all is back", "RTO: todo ha vuelto"),
    "objective.first_contact": ("First contact", "Primer contacto"),
    "objective.scrub": ("Age of scrubs", "Antigüedad de comprobaciones"),
    "objective.replay": ("Age of replays", "Antigüedad de reproducciones"),
    "objective.drill": ("Age of drills", "Antigüedad de simulacros"),
    "kind.contacts": ("Contacts", "Contactos"),
    "kind.calendar": ("Calendar", "Calendario"),
    "kind.notes": ("Notes", "Notas"),
    "kind.tasks": ("Tasks", "Tareas"),
    "kind.photos": ("Photos", "Fotos"),
    "kind.scores": ("High scores", "Puntuaciones"),
    "problem.tampered": ("tampered with", "manipulado"),
    "problem.foreign": ("foreign", "ajeno"),
    "problem.misplaced": ("under another’s name", "con el nombre de otro"),
    "problem.unreadable": ("of a newer release", "de una versión posterior"),
    "problem.removed": ("removed from a vault", "retirado de una bóveda"),
    "problem.missing": ("missing everywhere", "ausente en todas"),
    "sort.any": ("Any record", "Cualquier registro"),
    "sort.recorded": ("Recorded state of the service", "Estado anotado del servicio"),
    "sort.scrub": ("Scrub", "Comprobación"),
    "sort.replay": ("Replay and attestation", "Reproducción y atestación"),
    "sort.drill": ("Recovery drill", "Simulacro de recuperación"),
    # -- sentences
    "summary.how": (
        "A record counts here only where its signature, its signer’s certificate, its name and its place in its "
        "signer’s chain hold. Figures are those of the records; nothing is estimated but what is called a forecast. "
        "All times are UTC.",
        "Aquí solo cuenta un registro cuya firma, el certificado de quien firma, el nombre y el lugar en la cadena de "
        "quien firma son válidos. Las cifras son las de los registros; no se estima nada salvo lo que se llama "
        "previsión. Todas las horas son UTC.",
    ),
    "objectives.how": (
        "A day counts as violated where the objective was seen violated at any moment of it, else as at risk, else as "
        "met; as unknown where nothing else was seen. Ages of evidence are measured from its last good record.",
        "Un día cuenta como incumplido si en algún momento se vio incumplido el objetivo; si no, como en riesgo o "
        "cumplido; como desconocido si no se vio otra cosa. La antigüedad de las pruebas se mide desde el último "
        "registro bueno.",
    ),
    "objectives.violated": ("Violated on", "Incumplido"),
    "drills.how": (
        "A drill recovers from one vault alone into a scratch core, compares each stream’s head and state root with "
        "what the service had computed on its own path, then asks the recovered service as devices would.",
        "Un simulacro recupera desde una sola bóveda a un núcleo aparte, compara la cabeza y la raíz de estado de cada "
        "flujo con lo que el servicio calculó por su propio camino y luego pregunta al servicio recuperado como lo "
        "harían los dispositivos.",
    ),
    "drills.rules": ("How requests were sampled:", "Cómo se tomó la muestra de peticiones:"),
    "drills.deviations": ("What deviated", "Qué se desvió"),
    "drills.none-differ": (
        "No drill found a difference or damage.",
        "Ningún simulacro halló diferencias ni daños.",
    ),
    "gaps.how": (
        "What is named here was not proved: nothing in this report speaks for these days.",
        "Lo que se nombra aquí no se demostró: nada de este informe habla por estos días.",
    ),
    "gaps.none": ("There is none.", "No hay ninguno."),
    "gaps.retained": (
        "Retention has removed evidence from before {at}, as a signed record says. What it was is no longer shown.",
        "La retención ha retirado pruebas anteriores al {at}, como consta en un registro firmado. Ya no se muestran.",
    ),
    "gaps.broken": (
        "{count} lines of the recorded series could not be read and are not counted.",
        "{count} líneas de las series anotadas no se pudieron leer y no se cuentan.",
    ),
    "refused.none": (
        "Every record in every vault holds, and none is missing.",
        "Todos los registros de todas las bóvedas son válidos y no falta ninguno.",
    ),
    "refused.how": (
        "These do not count anywhere in this report. Where another vault holds a whole copy, that copy counts.",
        "No cuentan en ninguna parte de este informe. Si otra bóveda tiene una copia íntegra, esa cuenta.",
    ),
    "refused.unsettled": (
        "Missing from the vaults that could be read, unless one that could not be read has them:",
        "Ausentes en las bóvedas que se pudieron leer, salvo que los tenga una que no se pudo leer:",
    ),
    "demands.how": (
        "What each framework asks is said in our words, briefly; its own text decides. The right columns say where "
        "this "
        "report shows something of it and what an auditor has to ask for elsewhere.",
        "Lo que pide cada marco se dice con nuestras palabras y en breve; decide su propio texto. Las columnas de la "
        "derecha "
        "dicen dónde este informe muestra algo de ello y qué debe pedir un auditor en otra parte.",
    ),
    "verify.1": (
        "Each record is an object in every vault (evidence/…), signed with a key that the installation’s root "
        "certifies; "
        "each names its signer’s one before it by SHA-256. The fingerprint on the first page is that of the root.",
        "Cada registro es un objeto en cada bóveda (evidence/…), firmado con una clave que certifica la raíz de la "
        "instalación; cada uno nombra por SHA-256 al anterior de quien firma. La huella de la primera página es la de "
        "la raíz.",
    ),
    "verify.2": (
        "To prove all of them anew, where the vaults and the recovery key are: safehold evidence verify --from {begin} "
        "--to {end}. It prints the digest on the first page, names whatever does not hold, and exits with 0 only "
        "where nothing is wrong.",
        "Para demostrarlos todos de nuevo, donde estén las bóvedas y la clave de recuperación: safehold evidence "
        "verify "
        "--from {begin} --to {end}. Imprime el resumen de la primera página, nombra lo que no es válido y termina con "
        "0 solo si nada está mal.",
    ),
    "verify.3": (
        "A single one with all its facts: safehold evidence show NAME, with the name of Appendix B. Its SHA-256 is "
        "that of "
        "the file of this name in a vault’s folder, so that sha256sum compares it without this software.",
        "Uno solo con todos sus hechos: safehold evidence show NOMBRE, con el nombre del anexo B. Su SHA-256 es el del "
        "archivo de ese nombre en la carpeta de una bóveda, de modo que sha256sum lo compara sin este programa.",
    ),
    "verify.4": (
        "The recorded states behind the plots (run/series) are not signed: they show how the service saw itself.",
        "Los estados anotados tras las gráficas (run/series) no están firmados: muestran cómo se veía el servicio a "
        "sí mismo.",
    ),
    # -- figures
    "figure.lag": ("How far each vault was behind", "Cuánto retraso tuvo cada bóveda"),
    "figure.lag.told": (
        "Greatest lag of each vault over the period, in seconds or as marked. Shaded: nothing was recorded.",
        "Mayor retraso de cada bóveda en el período, en segundos o como se indica. Sombreado: no se anotó nada.",
    ),
    "figure.drills": ("How long drills took", "Cuánto duraron los simulacros"),
    "figure.drills.told": (
        "Each drill by when it began and how long recovering took. Filled: whole; hollow: a share of the accounts; a "
        "cross: it "
        "found a difference. Dashed: the objective.",
        "Cada simulacro según cuándo empezó y cuánto tardó. Relleno: entero; hueco: una parte de las cuentas; cruz: "
        "halló una "
        "diferencia. Discontinua: el objetivo.",
    ),
    "figure.contact": ("How long until the first contact", "Cuánto hasta el primer contacto"),
    "figure.contact.told": (
        "Each drill by when it began and when one account’s contacts could be answered. Dashed: the objective.",
        "Cada simulacro según cuándo empezó y cuándo se pudo responder con los contactos de una cuenta. Discontinua: "
        "el objetivo.",
    ),
    "figure.forecast": ("Forecast of {name}", "Previsión de {name}"),
    "figure.forecast.told": (
        "The forecast as it stood, the interval that it lies in four times in five, what whole drills took (dots), "
        "and the "
        "objective (dashed).",
        "La previsión de cada momento, el intervalo en que cae cuatro de cada cinco veces, lo que tardaron los "
        "simulacros "
        "enteros (puntos) y el objetivo (discontinua).",
    ),
    "figure.sizes": ("How much was kept, by kind", "Cuánto se guardaba, por tipo"),
    "figure.sizes.told": (
        "Live items of each kind over the period, each on a scale of its own.",
        "Elementos vivos de cada tipo en el período, cada uno con su propia escala.",
    ),
    "figure.table": ("In figures: {title}", "En cifras: {title}"),
    "figure.above": ("objective {target} lies above this plot", "el objetivo {target} queda por encima"),
    "figure.target": ("objective {target}", "objetivo {target}"),
    "figure.none": ("Nothing of this was recorded in the period.", "En el período no se anotó nada de esto."),
}


class Words:
    """The words of one language."""

    def __init__(self, lang: str) -> None:
        self.lang = lang
        self._place = LANGUAGES.index(lang)

    def __call__(self, key: str, **values: object) -> str:
        text = _WORDS[key][self._place]
        return text.format(**values) if values else text

    def known(self, key: str, otherwise: str) -> str:
        """What is called by a name that a newer release may have added to."""
        return self(key) if key in _WORDS else otherwise

    def pick(self, pair: tuple[str, str]) -> str:
        return pair[self._place]

    def days(self, count: int) -> str:
        return self("days.one" if count == 1 else "days", count=count)
