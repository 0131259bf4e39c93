"""Fills in the peers' configurations: `@name@` is a value, a line with `@each list@` is repeated
for every entry of a list, with the entry's own values."""
import re

EACH = re.compile(r"^(\s*)@each (\w+)@ ")
NAME = re.compile(r"@(\w+)@")


def fill(text, values):
    lines = []
    for line in text.splitlines():
        each = EACH.match(line)
        if not each:
            lines.append(put(line, values))
            continue
        rest = each.group(1) + line[each.end():]
        lines += [put(rest, {**values, **entry}) for entry in values[each.group(2)]]
    return "\n".join(lines) + "\n"


def put(line, values):
    return NAME.sub(lambda found: str(values[found.group(1)]), line)
