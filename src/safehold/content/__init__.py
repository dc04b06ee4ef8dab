"""vCard and iCalendar bytes: where lines, components and properties lie, and whether they are valid. Pure.

content line   name, parameters and value (RFC 5545 section 3.1, RFC 6350 section 3.3), possibly folded over several
               physical lines; errors are told by physical line, counted from 1
component      what lies between BEGIN and END
object         one vCard, or one VCALENDAR with the components of one UID: the body of one item
media          the media type under which an object travels
piece          a part of a file that becomes one object
local seconds  what a clock shows, counted as if it showed UTC
instance       one time at which a component takes place; a span is what it takes up, in seconds UTC
floating       of a time or date: by the clock of whoever looks at it
step           a unit of the work that a question about a calendar object may cost
"""
