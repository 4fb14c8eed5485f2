#!/usr/bin/env python3
"""Turns SQL files into a C header of strings: sql2c.py OUT.h FILE.sql...

schema/001_accounts.sql becomes `static const char sql_001_accounts[]`. A migration list in C names them in order."""
import os
import sys


def literal(line):
  return '"' + line.replace('\\', '\\\\').replace('"', '\\"') + '\\n"'


def main(out, files):
  parts = ['/* Made from %s by scripts/sql2c.py. */\n#pragma once\n' % ', '.join(os.path.basename(f) for f in files)]
  for path in files:
    name = 'sql_' + os.path.splitext(os.path.basename(path))[0].replace('-', '_')
    with open(path, encoding='utf-8') as f:
      lines = [line.rstrip() for line in f if line.strip() and not line.lstrip().startswith('--')]
    parts.append('static const char %s[] =\n%s;\n' % (name, '\n'.join('\t' + literal(line) for line in lines)))
  with open(out, 'w', encoding='utf-8') as f:
    f.write('\n'.join(parts))


main(sys.argv[1], sys.argv[2:])
