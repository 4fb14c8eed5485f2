#!/usr/bin/env python3
"""Writes the built web app as an assembly source: services/gateway/web.h says what is in it.

embed.py OUTPUT FOLDER. A folder that does not exist makes a program without the web app. Beside NAME, NAME.br and NAME.gz
are its compressed forms. The output is written only when it changes.
"""
import hashlib
import os
import sys

TYPES = {
    '.html': 'text/html; charset=utf-8',
    '.js': 'text/javascript; charset=utf-8',
    '.css': 'text/css; charset=utf-8',
    '.json': 'application/json',
    '.map': 'application/json',
    '.webmanifest': 'application/manifest+json',
    '.svg': 'image/svg+xml',
    '.png': 'image/png',
    '.ico': 'image/x-icon',
    '.webp': 'image/webp',
    '.woff2': 'font/woff2',
    '.txt': 'text/plain; charset=utf-8',
}


def names_below(folder):
    """The files' paths, in the order that strcmp gives."""
    found = []
    for where, folders, names in os.walk(folder):
        folders.sort()
        found += [os.path.relpath(os.path.join(where, name), folder) for name in names]
    return sorted((n for n in found if not n.endswith(('.br', '.gz'))), key=lambda n: ('/' + n).encode())


def quote(text):
    return '"' + text.replace('\\', '\\\\').replace('"', '\\"') + '"'


class Source:
    def __init__(self):
        self.data = []
        self.table = []
        self.count = 0

    def label(self):
        self.count += 1
        return f'.Lweb{self.count}'

    def string(self, text):
        name = self.label()
        self.data += [f'{name}:', f'\t.asciz {quote(text)}']
        return name

    def file(self, path):
        """Label and size of a file's bytes."""
        if not os.path.exists(path):
            return '0', 0
        with open(path, 'rb') as f:
            content = f.read()
        name = self.label()
        self.data += [f'# {hashlib.sha256(content).hexdigest()}', f'{name}:', f'\t.incbin {quote(path)}', '\t.byte 0']
        return name, len(content)

    def add(self, folder, name):
        path = os.path.join(folder, name)
        with open(path, 'rb') as f:
            digest = hashlib.sha256(f.read()).hexdigest()[:16]
        kind = TYPES.get(os.path.splitext(name)[1], 'application/octet-stream')
        immutable = 1 if name.startswith('assets/') else 0
        words = [self.string('/' + name), self.string(kind), self.string(digest), immutable]
        for suffix in ('', '.br', '.gz'):
            words += self.file(path + suffix)
        self.table.append('\t.quad ' + ', '.join(map(str, words)))


def main():
    output, folder = sys.argv[1], os.path.abspath(sys.argv[2])
    source = Source()
    names = names_below(folder) if os.path.isfile(os.path.join(folder, 'index.html')) else []
    for name in names:
        source.add(folder, name)
    lines = ['\t.section .rodata', *source.data,
             '\t.section .data.rel.ro,"aw"', '\t.balign 8',
             '\t.globl web_files', '\t.type web_files, %object', 'web_files:', *source.table, '\t.quad 0',
             '\t.section .rodata', '\t.balign 8',
             '\t.globl n_web_files', '\t.type n_web_files, %object', 'n_web_files:', f'\t.quad {len(names)}',
             '\t.section .note.GNU-stack,"",%progbits']
    text = '\n'.join(lines) + '\n'
    try:
        with open(output, encoding='utf-8') as f:
            if f.read() == text:
                return
    except FileNotFoundError:
        pass
    with open(output, 'w', encoding='utf-8') as f:
        f.write(text)


main()
