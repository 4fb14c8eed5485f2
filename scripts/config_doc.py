#!/usr/bin/env python3
"""Keeps the table in docs/configuration.md in step with the program's table of options.

config_doc.py PROGRAM           fails when an option is missing from the manual or told otherwise there, and says which
config_doc.py PROGRAM --write   writes the table into the manual
"""
import json
import os
import subprocess
import sys

MANUAL = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'docs', 'configuration.md')
BEGIN, END = '<!-- options: written by scripts/config_doc.py -->\n', '<!-- end of options -->\n'


def options_of(program):
    environment = {'PATH': os.environ['PATH'], 'HOME': '/'}
    out = subprocess.run([program, 'config', 'show', '--json'], env=environment, check=True, capture_output=True).stdout
    return json.loads(out)['items']


def cell(text):
    return text.replace('|', '\\|').replace('<', '\\<')


def row(option):
    default = f'`{option["default"]}`' if option['default'] else ''
    help_text = option['help'] + '.'
    if option['one_of']:
        choices = ', '.join(f'`{c}`' for c in option['one_of'].split('|'))
        help_text += f' {"One of" if option["type"] == "text" else "Schemes:"} {choices}.'
    if option['alias']:
        help_text += f' Also `{option["alias"]}`.'
    return f'| `{option["name"]}` | {option["type"]} | {default} | {cell(help_text)} |\n'


def main():
    rows = [row(o) for o in options_of(sys.argv[1])]
    with open(MANUAL, encoding='utf-8') as f:
        text = f.read()
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    head = '| option | type | default | what it says |\n|---|---|---|---|\n'
    if '--write' in sys.argv[2:]:
        with open(MANUAL, 'w', encoding='utf-8') as f:
            f.write(before + BEGIN + head + ''.join(rows) + END + after)
        return 0
    told = table.splitlines(keepends=True)
    faults = [f'  not in the manual as it is in the program: {r.split("`")[1]}' for r in rows if r not in told]
    names = {r.split('`')[1] for r in rows}
    faults += [f'  in the manual, but not in the program: {r.split("`")[1]}'
               for r in told if r.startswith('| `') and r.split('`')[1] not in names]
    print('\n'.join(faults), end='\n' if faults else '')
    return 1 if faults else 0


sys.exit(main())
