"""What four frameworks ask of tests of recovery, in our own words, and where a report shows something of it.

SOC 2: AICPA, Trust Services Criteria (2017, points of focus revised 2022), A1.3. ISO 22301:2019, clause 8.5. NIST
SP 800-34 Rev. 1 (2010), section 3.5.1; that results and lessons are written down stands in its section 3.5. DORA:
Regulation (EU) 2022/2554, Article 12; its paragraph 5 is for central securities depositories alone, and left out.
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
            "Each component is tested, to see that its recovery procedure is right, by a plan with stated objectives "
            "and criteria of success. A test covers, as it applies: notification; recovery on another platform from "
            "backup media; internal and external connectivity; performance on other equipment; restoring normal "
            "operations; other plans that this one is coordinated with. Results and lessons are written down.",
            "Se prueba cada componente, para ver que su procedimiento de recuperación es correcto, según un plan con "
            "objetivos y criterios de éxito declarados. Una prueba cubre, según proceda: avisos; recuperación en otra "
            "plataforma desde los soportes de respaldo; conectividad interna y externa; rendimiento en otro equipo; "
            "vuelta a la normalidad; otros planes con los que este se coordina. Se anotan resultados y lecciones.",
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
            "logically, protected from unauthorised access and corruption, and let services be restored in time. "
            "Redundant capacity is kept, with resources, capabilities and functions that suffice for the business; "
            "microenterprises judge by their risk whether they need it.",
            "Con sistemas propios, los respaldos se restauran en otros separados física y lógicamente del origen y "
            "protegidos de accesos no autorizados y corrupción, que permiten restablecer los servicios a tiempo. Se "
            "mantiene capacidad redundante, con recursos, capacidades y funciones suficientes para la actividad; las "
            "microempresas juzgan según su riesgo si la necesitan.",
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
            "Objectives for recovery time and recovery point are set for each function, by whether it is critical or "
            "important and by what it could do to the efficiency of the market as a whole; the objectives of time "
            "make sure that in extreme scenarios the agreed service levels are met.",
            "Los objetivos de tiempo y punto de recuperación se fijan para cada función, según si es esencial o "
            "importante y según su posible efecto global en la eficiencia del mercado; los de tiempo aseguran que en "
            "escenarios extremos se cumplen los niveles de servicio acordados.",
        ),
        ("objectives", "drills"),
        (
            "How the objectives were arrived at, and what an outage would do to the market.",
            "Cómo se llegó a los objetivos y qué efecto tendría una interrupción en el mercado.",
        ),
    ),
    Demand(
        "DORA Art. 12(7)",
        (
            "Whoever recovers from an incident makes the checks that are needed, several and reconciliations where "
            "there are any, so that the integrity of data is kept at its highest; also where data is rebuilt from "
            "what others outside hold, so that it is consistent between systems.",
            "Quien se recupera de un incidente hace las comprobaciones necesarias, varias y conciliaciones cuando las "
            "haya, para mantener la máxima integridad de los datos; también al reconstruir datos con lo que tienen "
            "terceros, para que sean coherentes entre sistemas.",
        ),
        ("recoveries", "repairs", "scrubs", "attests"),
        ("Reconciliation with systems of others.", "La conciliación con sistemas de terceros."),
    ),
)
