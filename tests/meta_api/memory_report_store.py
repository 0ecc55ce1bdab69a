"""Reports remembered for the life of a test."""

from meta_ads_pipeline.meta_api.report_memory import StoredReport


class MemoryReportStore(dict[str, StoredReport]):
    """A ``ReportStore`` that needs no database."""

    def find(self, key: str) -> StoredReport | None:
        return self.get(key)

    def save(self, key: str, report: StoredReport) -> None:
        self[key] = report

    def remove(self, key: str) -> None:
        self.pop(key, None)
