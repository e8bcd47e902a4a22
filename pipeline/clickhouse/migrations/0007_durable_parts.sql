-- What ClickHouse has confirmed is cut from the journal a checkpoint or two later, so it must outlive a power cut: a part
-- is synced, and so is its folder, before its insert is confirmed. Merged parts need no sync, for the parts they were
-- made of stay on disk for eight minutes (old_parts_lifetime).
ALTER TABLE frames MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE signals MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE signals_1m_states MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE signals_1h_states MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE anomalies_log MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE dead_letters MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE dead_letter_marks MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
