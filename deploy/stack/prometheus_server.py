"""How does a local Prometheus watch the stack? Where its binary is on PATH; PyPI has none."""

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.stack.server import Server

_PROBE_TIMEOUT_S = 2.0
_SCRAPE_INTERVAL_S = 5


def find_prometheus(path: str) -> Path | None:
    """Return the `prometheus` on the given PATH, or None."""
    found = shutil.which("prometheus", path=path)
    return Path(found) if found else None


class PrometheusServer(Server):
    """Scrapes the stack's roles and evaluates the given rules.

    Args:
        directory: Its configuration, targets and data.
        program: The binary.
        rule_files: Recording and alerting rules.
        port: Where it listens; a free one if None.
        tethered: Whether it dies with this process.
    """

    def __init__(
        self,
        directory: Path,
        program: Path,
        *,
        rule_files: Sequence[Path] = (),
        port: int | None = None,
        tethered: bool = True,
    ) -> None:
        super().__init__(
            "prometheus", directory, port=port, tethered=tethered, grace_s=10.0, ready_s=30.0
        )
        self._program = program
        self._rule_files = [path.absolute() for path in rule_files]

    @property
    def url(self) -> str:
        """Its page and its API."""
        return f"http://{self.address}"

    def watch(self, targets: Mapping[str, str]) -> None:
        """Scrape exactly these from now on; may be called at any time.

        Args:
            targets: Where each role serves its metrics, as `host:port`, by the role's name.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        groups = [
            {"targets": [address], "labels": {"role": name}} for name, address in targets.items()
        ]
        # Prometheus watches the file: it must never see half of it.
        scratch = self._targets_path.with_suffix(".tmp")
        scratch.write_text(json.dumps(groups, indent=2))
        scratch.rename(self._targets_path)

    def _prepare(self) -> None:
        if not self._targets_path.exists():
            self.watch({})
        config = {
            "global": {
                "scrape_interval": f"{_SCRAPE_INTERVAL_S}s",
                "evaluation_interval": f"{_SCRAPE_INTERVAL_S}s",
            },
            "rule_files": [str(path) for path in self._rule_files],
            "scrape_configs": [
                {
                    "job_name": "headrace",
                    "file_sd_configs": [{"files": [str(self._targets_path)]}],
                },
            ],
        }
        # JSON is YAML.
        self._config_path.write_text(json.dumps(config, indent=2))

    def _argv(self) -> list[str]:
        return [
            str(self._program),
            f"--config.file={self._config_path}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address={self.address}",
            "--log.level=warn",
        ]

    def _answers(self) -> bool:
        return http_answers(f"{self.url}/-/ready")

    @property
    def _config_path(self) -> Path:
        return self.directory / "prometheus.json"

    @property
    def _targets_path(self) -> Path:
        return self.directory / "targets.json"


def http_answers(url: str) -> bool:
    """Return whether a GET of this URL succeeds now."""
    try:
        with urllib.request.urlopen(url, timeout=_PROBE_TIMEOUT_S) as response:  # noqa: S310
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
