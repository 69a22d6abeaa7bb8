"""How does a local Prometheus watch the stack? Where its binary is on PATH; PyPI has none."""

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from deploy.stack.server import Server

_PROBE_TIMEOUT_S = 2.0

ASSETS = Path(__file__).parent.parent / "prometheus"


def find_prometheus(path: str) -> Path | None:
    """Return the `prometheus` on the given PATH, or None."""
    found = shutil.which("prometheus", path=path)
    return Path(found) if found else None


class PrometheusServer(Server):
    """Scrapes the stack's roles and evaluates the rules that are shipped.

    Args:
        directory: Its configuration, targets and data.
        program: The binary.
        assets: The folder with `prometheus.yml` and what that refers to; it finds its targets in
            `targets/*.json` beside itself.
        port: Where it listens; a free one if None.
    """

    def __init__(
        self, directory: Path, program: Path, *, assets: Path = ASSETS, port: int | None = None
    ) -> None:
        super().__init__("prometheus", directory, port=port, grace_s=10.0, ready_s=30.0)
        self._program = program
        self._assets = assets

    @property
    def url(self) -> str:
        """Its page and its API."""
        return f"http://{self.address}"

    def watch(self, targets: Mapping[str, str]) -> None:
        """Scrape exactly these from now on; may be called at any time.

        Args:
            targets: Where each role serves its metrics, as `host:port`, by the role's name.
        """
        groups = [
            {"targets": [address], "labels": {"role": name}} for name, address in targets.items()
        ]
        self._targets_path.parent.mkdir(parents=True, exist_ok=True)
        # Prometheus watches the file: it must never see half of it.
        scratch = self._targets_path.with_suffix(".tmp")
        scratch.write_text(json.dumps(groups, indent=2))
        scratch.rename(self._targets_path)

    def _prepare(self) -> None:
        shutil.copytree(self._assets, self._config_folder, dirs_exist_ok=True)

    def _argv(self) -> list[str]:
        return [
            str(self._program),
            f"--config.file={self._config_folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address={self.address}",
            "--log.level=warn",
        ]

    def _answers(self) -> bool:
        return http_answers(f"{self.url}/-/ready")

    @property
    def _config_folder(self) -> Path:
        return self.directory / "config"

    @property
    def _targets_path(self) -> Path:
        return self._config_folder / "targets" / "headrace.json"


def http_answers(url: str) -> bool:
    """Return whether a GET of this URL succeeds now."""
    try:
        with urllib.request.urlopen(url, timeout=_PROBE_TIMEOUT_S) as response:  # noqa: S310
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
