#!/usr/bin/env python3
"""Turns a text file into a C header with one string: text2c.py OUT.h NAME FILE."""
import os
import sys


def main(out, name, path):
  with open(path, encoding='utf-8') as f:
    lines = f.read().splitlines()
  quoted = ['\t"%s\\n"' % line.replace('\\', '\\\\').replace('"', '\\"') for line in lines]
  with open(out, 'w', encoding='utf-8') as f:
    f.write('/* Made from %s by scripts/text2c.py. */\n#pragma once\n\nstatic const char %s[] =\n%s;\n'
            % (os.path.basename(path), name, '\n'.join(quoted)))


main(*sys.argv[1:])
