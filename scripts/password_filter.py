#!/usr/bin/env python3
"""Makes a compact filter of a list of passwords: password_filter.py OUT.h LIST.txt

An xor filter (Graf and Lemire 2019, doi 10.1145/3376122) with 16 bits an entry, of the first 8 bytes of each entry's SHA-256: every
entry is found, and one in 65,536 of the others by mistake. The C side is services/auth/common_password.c."""
import hashlib
import os
import sys

MASK = (1 << 64) - 1


def read(path):
  with open(path, encoding='utf-8') as f:
    words = {line.rstrip('\n') for line in f if not line.startswith('#!')}
  words.discard('')
  return sorted({int.from_bytes(hashlib.sha256(w.encode()).digest()[:8], 'big') for w in words})


def mix(key, seed):
  """The finalizer of MurmurHash3."""
  h = (key + seed) & MASK
  h ^= h >> 33
  h = h * 0xff51afd7ed558ccd & MASK
  h ^= h >> 33
  h = h * 0xc4ceb9fe1a85ec53 & MASK
  return h ^ h >> 33


def places(h, block):
  """One place in each of the three blocks."""
  def reduce(x):
    return (x & 0xffffffff) * block >> 32
  return reduce(h), block + reduce(h >> 21 | h << 43 & MASK), 2 * block + reduce(h >> 42 | h << 22 & MASK)


def fingerprint(h):
  return (h ^ h >> 32) & 0xffff


def peel(hashes, block):
  """The order in which each entry has a place of its own, or None."""
  count, xor = [0] * (3 * block), [0] * (3 * block)
  for h in hashes:
    for p in places(h, block):
      count[p] += 1
      xor[p] ^= h
  alone = [p for p in range(3 * block) if count[p] == 1]
  order = []
  while alone:
    p = alone.pop()
    if count[p] != 1:
      continue
    h = xor[p]
    order.append((h, p))
    for q in places(h, block):
      count[q] -= 1
      xor[q] ^= h
      if count[q] == 1:
        alone.append(q)
  return order if len(order) == len(hashes) else None


def build(keys):
  block = int(32 + 1.23 * len(keys)) // 3
  for seed in range(1, 100):
    hashes = [mix(k, seed) for k in keys]
    order = peel(hashes, block)
    if order:
      break
  else:
    sys.exit('no seed fits')
  table = [0] * (3 * block)
  for h, p in reversed(order):
    a, b, c = places(h, block)
    table[p] = fingerprint(h) ^ table[a] ^ table[b] ^ table[c]
  return seed, block, table


def main(out, path):
  keys = read(path)
  seed, block, table = build(keys)
  with open(out, 'w', encoding='utf-8') as f:
    f.write(f'/* Made from {os.path.basename(path)} by scripts/password_filter.py. */\n#pragma once\n\n#include <stdint.h>\n\n')
    f.write(f'#define PASSWORD_FILTER_ENTRIES {len(keys)}\n#define PASSWORD_FILTER_SEED {seed}u\n#define PASSWORD_FILTER_BLOCK {block}u\n\n')
    f.write('static const uint16_t password_filter[] = {\n')
    for i in range(0, len(table), 16):
      f.write('\t' + ', '.join(map(str, table[i:i + 16])) + ',\n')
    f.write('};\n')


main(sys.argv[1], sys.argv[2])
