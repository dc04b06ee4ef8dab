"""vCard and iCalendar bytes: where lines, components and properties lie, and whether they are valid. Pure."""
