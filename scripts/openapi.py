#!/usr/bin/env python3
"""Writes docs/openapi.yaml as JSON into an assembly source: openapi_json and openapi_hash of services/gateway/web.h.

openapi.py INPUT OUTPUT
"""
import hashlib
import json
import os
import sys

import yaml


def main():
    source, output = sys.argv[1], os.path.abspath(sys.argv[2])
    with open(source, encoding='utf-8') as f:
        document = yaml.safe_load(f)
    content = json.dumps(document, ensure_ascii=False, separators=(',', ':'), default=str).encode()
    path = os.path.splitext(output)[0] + '.json'
    with open(path, 'wb') as f:
        f.write(content)
    with open(output, 'w', encoding='utf-8') as f:
        f.write(f'''\t.section .rodata
.Ltext:
\t.incbin "{path}"
\t.byte 0
\t.globl openapi_hash
\t.type openapi_hash, %object
openapi_hash:
\t.asciz "{hashlib.sha256(content).hexdigest()[:16]}"
\t.section .data.rel.ro,"aw"
\t.balign 8
\t.globl openapi_json
\t.type openapi_json, %object
openapi_json:
\t.quad .Ltext, {len(content)}
\t.section .note.GNU-stack,"",%progbits
''')


main()
