"""What four frameworks ask of tests of recovery, in our own words, and where a report shows something of it.

SOC 2: AICPA, Trust Services Criteria (2017, points of focus revised 2022), A1.3. ISO 22301:2019, clause 8.5. NIST
SP 800-34 Rev. 1 (2010), section 3.5.1. DORA: Regulation (EU) 2022/2554, Article 12.
"""

from __future__ import annotations

from typing import NamedTuple

Pair = tuple[str, str]


class Demand(NamedTuple):
    """One thing that is asked. `sections` are keys of the report's sections; `beyond` is what they do not show."""

    framework: str
    asks: Pair
    sections: tuple[str, ...]
    beyond: Pair


DEMANDS = (
    Demand(
        "SOC 2 A1.3",
        (
            "The procedures of the recovery plan are tested, so that recovery meets the entity’s objectives: "
            "regularly, by "
            "scenarios chosen for likelihood and harm, also for key people being away, and plans are revised by what "
            "is found.",
            "Se prueban los procedimientos del plan de recuperación para que esta cumpla los objetivos de la entidad: "
            "con "
            "regularidad, con escenarios elegidos por probabilidad y daño, también sin personas clave, y los planes "
            "se revisan según lo hallado.",
        ),
        ("drills", "runbooks", "surprises", "objectives", "gaps"),
        (
            "How scenarios were chosen, tests without key people, and how plans were revised.",
            "Cómo se eligieron los escenarios, las pruebas sin personas clave y cómo se revisaron los planes.",
        ),
    ),
    Demand(
        "SOC 2 A1.3",
        (
            "Whether backed-up data is whole and complete is tested regularly.",
            "Se prueba con regularidad si los datos respaldados están íntegros y completos.",
        ),
        ("scrubs", "attests", "drills", "repairs"),
        ("Data that is kept outside of this installation.", "Los datos que se guardan fuera de esta instalación."),
    ),
    Demand(
        "ISO 22301:2019 8.5",
        (
            "A programme of exercises and tests, at planned intervals and after significant changes, fits the "
            "continuity "
            "objectives, rests on planned scenarios with clear aims, and over time validates strategies and solutions.",
            "Un programa de ejercicios y pruebas, a intervalos planificados y tras cambios significativos, acorde con "
            "los "
            "objetivos de continuidad, basado en escenarios planificados con fines claros y que con el tiempo valida "
            "estrategias y soluciones.",
        ),
        ("objectives", "drills", "alarms", "gaps"),
        (
            "Exercises of the organisation beyond this service; which changes were significant.",
            "Los ejercicios de la organización más allá de este servicio; qué cambios fueron significativos.",
        ),
    ),
    Demand(
        "ISO 22301:2019 8.5",
        (
            "Exercises build the competence and confidence of those who act in a disruption; each ends in a report "
            "with "
            "outcomes, recommendations and actions, which are reviewed and carried out.",
            "Los ejercicios desarrollan la competencia y confianza de quienes actúan en una interrupción; cada uno "
            "acaba en "
            "un informe con resultados, recomendaciones y acciones, que se revisan y se llevan a cabo.",
        ),
        ("runbooks", "surprises", "drills", "repairs"),
        (
            "Recommendations and their follow-up by management.",
            "Las recomendaciones y su seguimiento por la dirección.",
        ),
    ),
    Demand(
        "NIST SP 800-34 3.5.1",
        (
            "The contingency plan is tested against stated objectives and criteria of success. A test covers, as it "
            "applies: "
            "notification; recovery on another platform from backup media; connectivity; performance on other "
            "equipment; "
            "restoring normal operations; coordination with other plans. Results and lessons are written down.",
            "El plan de contingencia se prueba frente a objetivos y criterios de éxito declarados. Una prueba cubre, "
            "según "
            "proceda: avisos; recuperación en otra plataforma desde los soportes de respaldo; conectividad; "
            "rendimiento en otro "
            "equipo; vuelta a la normalidad; coordinación con otros planes. Se anotan resultados y lecciones.",
        ),
        ("alarms", "drills", "recoveries", "runbooks", "surprises", "objectives"),
        (
            "Whether the scratch core lay on other equipment; external connectivity; other plans.",
            "Si el núcleo aparte estaba en otro equipo; la conectividad externa; otros planes.",
        ),
    ),
    Demand(
        "DORA Art. 12(1), (2)",
        (
            "Backup policies state scope and least frequency by how critical or confidential data is; restoration and "
            "recovery procedures and methods are documented. Backup systems can be put to use without endangering "
            "systems or "
            "data; backup, restoration and recovery are tested periodically.",
            "Las políticas de respaldo fijan alcance y frecuencia mínima según lo crítico o confidencial de los "
            "datos; se "
            "documentan procedimientos y métodos de restablecimiento y recuperación. Los sistemas de respaldo se "
            "activan sin poner "
            "en peligro sistemas ni datos; respaldo, restablecimiento y recuperación se prueban periódicamente.",
        ),
        ("objectives", "drills", "scrubs", "attests", "gaps"),
        (
            "The policies themselves, and how data was classified.",
            "Las políticas mismas y cómo se clasificaron los datos.",
        ),
    ),
    Demand(
        "DORA Art. 12(3), (4)",
        (
            "Backups are restored with the entity’s own systems on ones that are apart from the source, physically and "
            "logically, and protected from unauthorised access and corruption; redundant capacity is kept "
            "(microenterprises: "
            "as their risk asks).",
            "Con sistemas propios, los respaldos se restauran en otros separados física y lógicamente del origen y "
            "protegidos "
            "de accesos no autorizados y corrupción; se mantiene capacidad redundante (las microempresas, según su "
            "riesgo).",
        ),
        ("drills", "recoveries", "others"),
        (
            "Where vaults and recovery machines stand, and who may reach them.",
            "Dónde están las bóvedas y los equipos de recuperación, y quién accede a ellos.",
        ),
    ),
    Demand(
        "DORA Art. 12(6)",
        (
            "Objectives for recovery time and recovery point are set by function, by how critical it is and what its "
            "loss would "
            "do; they make sure that agreed service levels are met in extreme scenarios.",
            "Los objetivos de tiempo y punto de recuperación se fijan por función, según lo crítica que sea y el "
            "efecto de "
            "su pérdida; aseguran los niveles de servicio acordados en escenarios extremos.",
        ),
        ("objectives", "drills"),
        ("How the objectives were arrived at.", "Cómo se llegó a los objetivos."),
    ),
    Demand(
        "DORA Art. 12(7)",
        (
            "After an incident, checks, reconciliations among them, make sure that data has the highest integrity, "
            "also "
            "where it is rebuilt from what others hold.",
            "Tras un incidente, las comprobaciones, incluidas las conciliaciones, aseguran la máxima integridad de "
            "los datos, "
            "también al reconstruirlos con lo que tienen terceros.",
        ),
        ("recoveries", "repairs", "attests"),
        ("Reconciliation with systems of others.", "La conciliación con sistemas de terceros."),
    ),
)
