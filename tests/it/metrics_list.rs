//! The list of families: what is exported, and that the README says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::harness::TestApp;

/// A family as it is announced, with the names of its labels.
#[derive(Debug, Default, PartialEq)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines() {
        if let Some((name, help)) = line
            .strip_prefix("# HELP ")
            .and_then(|rest| rest.split_once(' '))
        {
            families.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            families.get_mut(name).unwrap().kind = kind.to_owned();
            last = name.to_owned();
        } else if let Some((_, labels)) = line.split_once('{') {
            let names = labels
                .split("=\"")
                .map(|part| part.rsplit(['"', ',', '{']).next().unwrap());
            let count = labels.matches("=\"").count();
            let known = names.take(count).filter(|name| *name != "le");
            let family = families.get_mut(&last).unwrap();
            family.labels.extend(known.map(str::to_owned));
        }
    }
    families
}

/// A server with all that has series of its own switched on.
fn with_everything() -> TestApp {
    TestApp::start_with(|config| config.consolidation.schedule = "02:00".parse().unwrap())
}

#[test]
fn the_list_of_families_changes_on_purpose_alone() {
    let app = with_everything();
    let list: Vec<_> = families(&app.get("/metrics").text())
        .into_iter()
        .map(|(name, family)| {
            let labels: Vec<_> = family.labels.into_iter().collect();
            format!(
                "{} {name}{{{}}} {}",
                family.kind,
                labels.join(","),
                family.help
            )
        })
        .collect();
    insta::assert_snapshot!(list.join("\n"), @r"
    gauge agent_memory_allocator_bytes{stat} What jemalloc has: allocated by the program, in active pages, for itself, resident, mapped, and retained without memory behind it.
    gauge agent_memory_backup_interval_seconds{} Longest time between two copies by the clock, as this process was told; 0 if none are made.
    gauge agent_memory_backup_last_duration_seconds{} How long it took, its check among it.
    gauge agent_memory_backup_last_size_bytes{} Octets of that copy.
    gauge agent_memory_backup_last_success_timestamp_seconds{} When the last copy of the memory was made, by hand or by the clock; 0 if never.
    counter agent_memory_backups_total{outcome} Copies of the memory ever tried, by whether they came to be.
    gauge agent_memory_blocking_threads{state} Calls admitted to the blocking pool now, and most that are at once.
    gauge agent_memory_build_info{revision,rustc,sqlite,version} 1; the labels say what this was built from.
    histogram agent_memory_consolidation_duration_seconds{job_type} How long jobs of consolidation took in this process.
    gauge agent_memory_consolidation_in_progress{job_type} 1 while this process is at it.
    counter agent_memory_consolidation_items_total{job_type} What consolidation ever changed the showing of: handoffs, decisions, notes, principles, reflections.
    counter agent_memory_consolidation_jobs_total{job_type} Jobs of consolidation that ever ended.
    gauge agent_memory_consolidation_last_run_timestamp_seconds{job_type} When a job last ended, however; 0 if none ever did.
    gauge agent_memory_consolidation_last_success_timestamp_seconds{job_type} When a job last completed; 0 if none ever did.
    gauge agent_memory_consolidation_next_run_timestamp_seconds{job_type} When it is due next; 0 while that is not known.
    counter agent_memory_consolidation_runs_total{job_type,outcome} Jobs of consolidation that ever ended, by how: completed, failed, or skipped for want of material.
    counter agent_memory_consolidation_tokens_saved_total{job_type} Tokens that what was changed takes less where it is shown, as measured when it was changed.
    gauge agent_memory_db_pool_connections{state} Reader connections in all, free ones, and calls waiting for one.
    histogram agent_memory_db_pool_hold_seconds{role} How long reads kept their connection.
    gauge agent_memory_db_pool_max_connections{role} Connections that the pool may have.
    counter agent_memory_db_pool_timeouts_total{role} Reads that got no connection in time, those that gave up in the queue before the pool among them.
    histogram agent_memory_db_pool_wait_seconds{role} How long reads waited for a connection, those that got none among them.
    gauge agent_memory_decisions{status} Decisions stored now.
    untyped agent_memory_decisions_total{status} Decisions stored now.
    gauge agent_memory_events{kind} Events stored now.
    counter agent_memory_events_total{kind} Events ever recorded.
    gauge agent_memory_filesystem_avail_bytes{} Octets of the file system with the database file that this process can still write.
    gauge agent_memory_filesystem_size_bytes{} Octets of the file system that the database file is on.
    gauge agent_memory_handoffs{compression_level} Handoffs stored now.
    gauge agent_memory_handoffs_to_remember{} Handoffs stored now that say what to remember.
    untyped agent_memory_handoffs_total{compression_level} Handoffs stored now; all is the sum.
    gauge agent_memory_http_connections{} Connections open now.
    counter agent_memory_http_connections_cut_total{reason} Connections that the server ended: turned away because there were too many, the head of a request came too slowly, or the answer was not read.
    counter agent_memory_http_rejected_total{reason} HTTP requests refused for what they would cost or who sent them: too_large, timeout, forbidden, unauthenticated (no key that is good), rate_limited, overloaded (a queue or a room was full), unavailable (the store).
    histogram agent_memory_http_request_bytes{} Octets of the bodies of requests that were answered.
    histogram agent_memory_http_request_duration_seconds{method,path} Time from the request's head to the answer's, by route pattern and method.
    counter agent_memory_http_requests_abandoned_total{} HTTP requests whose client went away before they were answered.
    gauge agent_memory_http_requests_in_flight{} HTTP requests being answered.
    counter agent_memory_http_requests_total{method,path,status} HTTP requests answered, by route pattern, method and status.
    histogram agent_memory_http_response_bytes{} Octets of the bodies of answers, as far as they were handed over.
    gauge agent_memory_knowledge_notes{} Knowledge notes stored now.
    untyped agent_memory_knowledge_notes_total{} Knowledge notes stored now.
    counter agent_memory_label_overflow_total{label} How often a value was none of a label's and was counted under the one that stands for all others.
    gauge agent_memory_last_write_timestamp_seconds{} When this process last committed a change of the memory; 0 if not since its start.
    counter agent_memory_log_messages_total{level} Lines written to the log.
    counter agent_memory_mcp_messages_total{method} Messages that came in over /mcp, by method.
    histogram agent_memory_mcp_tool_call_duration_seconds{tool} How long calls of tools took, by tool.
    counter agent_memory_mcp_tool_calls_total{outcome,tool} Calls of tools by how they ended: ok, refused (the caller was told what is wrong) or failed.
    gauge agent_memory_memory_bytes{type} Memory by what it is: heap_used and heap_total as the allocator says, external as the storage engine says, rss and rss_anon as the kernel says. They overlap; do not add them up.
    gauge agent_memory_memory_limit_bytes{} Memory that this process may use: the least that its control groups and the machine allow. Compare rss_anon with it.
    gauge agent_memory_metrics_encode_seconds{} Time that the scrape before this one took to be written.
    gauge agent_memory_metrics_series{} Series that the scrape before this one had.
    counter agent_memory_panics_total{} Panics in any thread of the process.
    gauge agent_memory_principles{} Principles stored now.
    histogram agent_memory_read_queue_wait_seconds{} How long calls queued before the pool, those that gave up among them; who need not queue is not counted.
    counter agent_memory_recalls_empty_total{} Searches ever answered with nothing.
    counter agent_memory_recalls_total{} Searches ever answered.
    gauge agent_memory_redaction_enabled{} 1 if this process takes secrets out of what it stores, 0 if it was told not to.
    counter agent_memory_redactions_total{kind} Secrets ever taken out before storage.
    gauge agent_memory_reflections{} Reflections stored now.
    gauge agent_memory_retention_age_seconds{} For how long events are kept, as this process was told; 0 if for ever.
    counter agent_memory_retention_events_total{} Events ever taken out for their age.
    gauge agent_memory_retention_last_success_timestamp_seconds{} When all events that were too old had last been taken out; 0 if never.
    gauge agent_memory_sampler_last_run_timestamp_seconds{} When pages and file system were last looked at.
    histogram agent_memory_search_duration_seconds{mode} How long searches took, those of context bundles among them.
    histogram agent_memory_search_results{mode} How many memories searches found.
    gauge agent_memory_sessions{} Sessions stored now.
    gauge agent_memory_spool_bytes{} Octets that hooks could not store and that wait to be; 0 if all is stored.
    counter agent_memory_spool_dropped_total{} What waited in a spool and could not be read or was refused.
    counter agent_memory_spool_replayed_total{} Events and handoffs that waited in a spool, since the file could not be written, and were stored.
    counter agent_memory_sqlite_busy_retries_total{} How often a lock of the file was held by somebody else and tried again.
    counter agent_memory_sqlite_busy_wait_seconds_total{} How long was slept before a lock of the file was tried again.
    gauge agent_memory_sqlite_cache_bytes{role} Octets of the connections' caches.
    counter agent_memory_sqlite_cache_hits_total{role} Pages that were in a connection's cache when it needed them. What a reader reads past its cache, out of mapped memory, is neither a hit nor a miss.
    counter agent_memory_sqlite_cache_misses_total{role} Pages that were not in a connection's cache when it needed them.
    counter agent_memory_sqlite_cache_spills_total{role} Pages that the writer wrote to the log before their commit, to make room in its cache.
    counter agent_memory_sqlite_cache_writes_total{role} Pages that the writer wrote to the log.
    histogram agent_memory_sqlite_checkpoint_duration_seconds{mode} How long moves of the log into the file took.
    counter agent_memory_sqlite_checkpoints_total{mode,outcome} Moves of the log into the file, by how they are done and how they ended.
    histogram agent_memory_sqlite_commit_duration_seconds{} How long commits took, the sync of the log among it.
    gauge agent_memory_sqlite_dirty_startup{} 1 if the start found the log of a process that did not end in order, which was read back.
    counter agent_memory_sqlite_errors_total{code} Faults that SQLite reported, by its primary code.
    gauge agent_memory_sqlite_file_bytes{file} Octets of the database file, of its log, and of the log's index.
    gauge agent_memory_sqlite_freelist_pages{} Pages of the database file that are free for reuse.
    counter agent_memory_sqlite_fullscan_steps_total{role} Rows that statements looked at one after the other for want of an index.
    gauge agent_memory_sqlite_integrity_last_success_timestamp_seconds{} When this process last found the whole file sound, which it looks for once a day; 0 if not yet.
    gauge agent_memory_sqlite_last_checkpoint_timestamp_seconds{} When all of the log was last moved; 0 if not since the start.
    gauge agent_memory_sqlite_memory_bytes{} Memory that SQLite has allocated, beside jemalloc.
    gauge agent_memory_sqlite_oldest_reader_seconds{} How long the oldest read of this process that goes on has gone on; it keeps the log from beginning anew.
    gauge agent_memory_sqlite_page_size_bytes{} Octets of a page.
    gauge agent_memory_sqlite_pages{} Pages of the database file.
    counter agent_memory_sqlite_sorts_total{role} Sorts of statements for want of an index.
    histogram agent_memory_sqlite_statement_duration_seconds{op} How long units of work took on their connection, by what they are about. A commit is apart, since writes share it.
    gauge agent_memory_sqlite_wal_frames{state} Pages in the log, and those of them that are in the file as well. A difference that grows says that somebody reads without an end.
    gauge agent_memory_stat_drift_rows{} Kept counts that are not what is there, at the last recount; anything but 0 is a fault of ours.
    gauge agent_memory_stat_last_recount_timestamp_seconds{} When this process last counted anew what is kept counts of, once a day; 0 if not yet.
    gauge agent_memory_storage_bytes{type} Octets stored.
    gauge agent_memory_up{} 1 if the store passed its last self-check, 0 if it cannot be used or is damaged.
    gauge agent_memory_uptime_seconds{} Time since the start.
    histogram agent_memory_worker_lag_seconds{} How late a worker is that looks at the time ten times a second; a call that blocks it shows here.
    gauge agent_memory_workers{state} Workers: responsive, or stalled for over a second.
    histogram agent_memory_write_batch_size{} Writes that were committed together.
    counter agent_memory_write_batches_total{outcome} Groups of writes by how they ended.
    gauge agent_memory_write_queue_capacity{} Writes that can wait.
    gauge agent_memory_write_queue_depth{} Writes waiting for the writer.
    histogram agent_memory_write_queue_wait_seconds{} How long writes waited until the writer began with them.
    counter agent_memory_writes_dropped_total{reason} Writes that were taken in and not stored, since their group met a fault.
    counter agent_memory_writes_rejected_total{reason} Writes that were not taken in, by why not.
    counter process_cpu_seconds_total{} Processor time, user and system, of all threads.
    counter process_major_page_faults_total{} Page faults that had to read from disk.
    gauge process_max_fds{} Most file descriptors that may be open.
    gauge process_open_fds{} Open file descriptors.
    gauge process_resident_memory_bytes{} Resident memory.
    gauge process_start_time_seconds{} Start of the process, Unix time.
    gauge process_threads{} Threads.
    gauge process_virtual_memory_bytes{} Virtual memory.
    ");
}

#[test]
fn the_readme_lists_each_family_with_its_type_and_labels() {
    let app = with_everything();
    let exported: BTreeMap<_, _> = families(&app.get("/metrics").text())
        .into_iter()
        .map(|(name, family)| (name, (family.kind, family.labels)))
        .collect();
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let section = readme.split("\n## Metrics\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut listed = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.split(" | ");
        let names = cells.next().unwrap();
        let kind = cells.next().unwrap();
        for series in names.split('`').skip(1).step_by(2) {
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels: BTreeSet<_> = labels
                .trim_end_matches('}')
                .split(',')
                .map(|label| label.split('=').next().unwrap().to_owned())
                .filter(|label| !label.is_empty())
                .collect();
            let again = listed.insert(name.to_owned(), (kind.to_owned(), labels));
            assert_eq!(again, None, "{name} stands twice");
        }
    }
    assert_eq!(listed, exported);
}
