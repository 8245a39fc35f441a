#!/usr/bin/env python3
"""Runs the executable as its users do and looks at its bytes, messages and exit codes.

    tests/cli/run.py BINARY [--maker MAKER] [--device cpu|cuda] [--label LABEL] [--strict] [--list] [GROUP or GROUP.TEST ...]

MAKER is haikuda_make_tiny_model, looked for beside BINARY and in tests/ below it. LABEL keeps the groups of one ctest
case: command_line, or what a class names as its own. --strict: the machine does nothing else, so times are what they are.
Needs Python 3 and nothing else.
Exits 0, 1 when a test failed, 4 when all were skipped. The groups are the classes of test_*.py in this folder."""
import argparse
import pathlib
import sys
import unittest

import support


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--maker", type=pathlib.Path)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--label")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("tests", nargs="*")
    return parser.parse_intermixed_args()


def find_maker(binary):
    for folder in (binary.parent, binary.parent / "tests"):
        if (folder / "haikuda_make_tiny_model").exists():
            return folder / "haikuda_make_tiny_model"
    sys.exit("run.py: no haikuda_make_tiny_model found; give --maker")


def all_groups():
    loader = unittest.TestLoader()
    for file in sorted(pathlib.Path(__file__).parent.glob("test_*.py")):
        module = __import__(file.stem)
        for name, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, unittest.TestCase) and value.__module__ == file.stem:
                yield name, loader.loadTestsFromTestCase(value)


def selected(names, label):
    suite = unittest.TestSuite()
    for group, tests in all_groups():
        if label and all(test.label != label for test in tests):
            continue
        for test in tests:
            name = f"{group}.{test._testMethodName}"
            if not names or group in names or name in names:
                suite.addTest(test)
    return suite


def main():
    arguments = parse_arguments()
    if arguments.list:
        print("\n".join(group for group, _ in all_groups()))
        return 0
    binary = arguments.binary.resolve()
    suite = selected(arguments.tests, arguments.label)
    if suite.countTestCases() == 0:
        sys.exit("run.py: no such test; --list names the groups")
    with support.Workplace(binary, (arguments.maker or find_maker(binary)).resolve(), arguments.device, arguments.strict):
        result = unittest.TextTestRunner(verbosity=2).run(suite)
    for line in support.reports:
        print(line)
    if not result.wasSuccessful():
        return 1
    return 4 if len(result.skipped) == result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
