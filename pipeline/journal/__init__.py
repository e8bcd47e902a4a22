from pipeline.journal.log import Journal
from pipeline.journal.opening import OpenReport
from pipeline.journal.segment import Record
from pipeline.journal.settings import JournalSettings

__all__ = ["Journal", "JournalSettings", "OpenReport", "Record"]
