"""Are there known vulnerabilities in what constraints.txt pins? `make audit` asks OSV (osv.dev), `make check` where it answers.

Exit status 0: none that is not in [tool.noisegate.audit.ignored] of pyproject.toml, each of them there with a reason; 1: one
or more; 2: not audited. With --if-reachable a service that does not answer is told loudly, and is 0: no network is no finding.
"""

import argparse
import json
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

OSV = "https://api.osv.dev/v1/query"
_PROBE_SECONDS = 10
_MIN_REASON = 20  # characters: "later" is no reason


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--if-reachable", action="store_true", help="a service that does not answer is no failure")
    parser.add_argument("--url", default=OSV, help="of the advisory service")
    parser.add_argument("--root", type=Path, default=Path(), help="the folder of constraints.txt and pyproject.toml")
    arguments = parser.parse_args()
    ignored = ignored_in(arguments.root / "pyproject.toml")
    if (reason := unreachable(arguments.url)) is not None:
        print(f"*** NOT AUDITED: {arguments.url} does not answer: {reason} ***", file=sys.stderr)
        return 0 if arguments.if_reachable else 2
    return report(ask(arguments.root / "constraints.txt", arguments.url), ignored)


def ignored_in(pyproject: Path) -> dict[str, str]:
    """Advisories that were looked at and do not concern this project, each with why."""
    tools = tomllib.loads(pyproject.read_text())["tool"]
    ignored: dict[str, str] = tools.get("noisegate", {}).get("audit", {}).get("ignored", {})
    if bare := [id for id, reason in ignored.items() if len(reason) < _MIN_REASON]:
        raise SystemExit(f"{pyproject}: say why these are ignored: {', '.join(bare)}")
    return ignored


def unreachable(url: str) -> str | None:
    """Why the service cannot be asked; None if it can."""
    question = json.dumps({"package": {"name": "jinja2", "ecosystem": "PyPI"}, "version": "3.1.6"}).encode()
    request = urllib.request.Request(url, question, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_PROBE_SECONDS) as answer:
            json.load(answer)
    except (OSError, ValueError) as error:
        return str(error)
    return None


def ask(constraints: Path, url: str) -> list[dict[str, Any]]:
    """What pip-audit found, a document a package. Nothing is installed, and no package index is asked."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(constraints), "--no-deps", "--disable-pip"]
    command += ["--vulnerability-service", "osv", "--osv-url", url, "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        dependencies: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        sys.stderr.write(done.stderr)
        raise SystemExit(2) from None
    return dependencies


def report(dependencies: list[dict[str, Any]], ignored: dict[str, str]) -> int:
    skipped = [f"{found['name']}: {found['skip_reason']}" for found in dependencies if "skip_reason" in found]
    findings = [(found, advisory) for found in dependencies for advisory in found.get("vulns", [])]
    open_findings = [(found, advisory) for found, advisory in findings if not names_of(advisory) & set(ignored)]
    for found, advisory in open_findings:
        fixed = ", ".join(advisory["fix_versions"]) or "no version"
        print(f"{found['name']} {found['version']}: {', '.join(sorted(names_of(advisory)))}; fixed in {fixed}")
    seen = {name for _, advisory in findings for name in names_of(advisory)}
    for id in sorted(set(ignored) - seen):
        print(f"{id} is ignored in pyproject.toml, and nobody reports it any more: remove it there.")
    for line in skipped:
        print(f"not audited: {line}", file=sys.stderr)
    print(f"{len(dependencies)} packages, {len(open_findings)} findings, {len(findings) - len(open_findings)} ignored")
    return 1 if open_findings else 2 if skipped else 0


def names_of(advisory: dict[str, Any]) -> set[str]:
    return {advisory["id"], *advisory["aliases"]}


if __name__ == "__main__":
    sys.exit(main())
