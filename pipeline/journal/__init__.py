from pipeline.journal.log import Journal, OpenReport
from pipeline.journal.segment import Record

__all__ = ["Journal", "OpenReport", "Record"]
