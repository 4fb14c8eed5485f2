"""Prints "passed failed" of JUnit files that meson wrote. A program that a later file has again counts as it did there."""
import sys
import xml.etree.ElementTree as tree

programs = {}
for file in sys.argv[1:]:
    for suite in tree.parse(file).getroot().iter("testsuite"):
        passed = failed = 0
        for case in suite.iter("testcase"):
            if case.find("skipped") is not None:
                continue
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
            else:
                passed += 1
        programs[suite.get("name")] = (passed, failed)
print(sum(p for p, _ in programs.values()), sum(f for _, f in programs.values()))
