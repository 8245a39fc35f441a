#!/usr/bin/env python3
"""Makes the Debian package and looks at what is in it.

    tests/cli/package_test.py BUILD_FOLDER

Exits 0, 1 when something is wrong, 4 when this system has no cpack or no dpkg-deb."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

FILES = {
    "usr/bin/haikuda",
    "usr/share/man/man1/haikuda.1.gz",
    "usr/share/bash-completion/completions/haikuda",
    "usr/share/zsh/vendor-completions/_haikuda",
    "usr/share/fish/vendor_completions.d/haikuda.fish",
    "usr/share/haikuda/models.txt",
    "usr/share/haikuda/bench.schema.json",
    "usr/share/haikuda/result.schema.json",
    "usr/share/haikuda/scripts/fetch_model.sh",
    "usr/share/doc/haikuda/README.md",
    "usr/share/doc/haikuda/scripts/haiku.svg",
    "usr/share/doc/haikuda/copyright",
}


def output(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        sys.exit(f"package_test: {command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def output_or_error(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=600)
    return done.stdout + done.stderr


def check(condition, what):
    if not condition:
        sys.exit(f"package_test: {what}")


def check_control(package):
    """The libraries that the executable is linked with are dependencies; a driver never is."""
    depends = output("dpkg-deb", "-f", package, "Depends")
    for library in ("libc6", "libstdc++6"):
        check(library in depends, f"{library} is not among the dependencies: {depends}")
    check(not re.search("cuda|nvidia", depends), f"a driver is among the dependencies: {depends}")
    check(output("dpkg-deb", "-f", package, "Package").strip() == "haikuda", "the package has another name")


def check_files(package, folder, build):
    output("dpkg-deb", "-x", package, folder)
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    check(found == FILES, f"missing {FILES - found}, too many {found - FILES}")
    modes = {str(p.relative_to(folder)): p.stat().st_mode & 0o777 for p in folder.rglob("*")}
    runs = {"usr/bin/haikuda", "usr/share/haikuda/scripts/fetch_model.sh"}
    wrong = {name: oct(mode) for name, mode in modes.items() if mode != (0o755 if name in runs or name not in FILES else 0o644)}
    check(not wrong, f"unusual permissions: {wrong}")
    binary = folder / "usr/bin/haikuda"
    check(output(binary, "--version") == output(build / "haikuda", "--version"), "--version differs")
    if "the model inside" in output_or_error(build / "haikuda", "info"):
        poem = output(binary, "Write a haiku about rain", "--temp", "0", "--device", "cpu")
        check(len(poem.splitlines()) == 3, f"the package's executable wrote no haiku: {poem}")
    check("smollm2-135m" in output("bash", folder / "usr/share/haikuda/scripts/fetch_model.sh", "--list"), "no models listed")
    check("RPATH" not in (dynamic := output("readelf", "-d", binary)) and "RUNPATH" not in dynamic, "there is an rpath")


def main():
    if not (shutil.which("cpack") and shutil.which("dpkg-deb")):
        print("package_test: cpack and dpkg-deb are needed")
        return 4
    build = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="haikuda-package-") as name:
        folder = pathlib.Path(name)
        output("cpack", "-G", "DEB", "--config", build / "CPackConfig.cmake", "-B", folder / "made")
        packages = list((folder / "made").glob("haikuda_*.deb"))
        check(len(packages) == 1, f"not one package but {packages}")
        check_control(packages[0])
        check_files(packages[0], folder / "unpacked", build)
    print("package_test: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
