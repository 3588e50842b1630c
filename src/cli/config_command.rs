//! `agent-memory config`.
//!
//! **Invariant:** shows what `serve` would do with the same flags and environment, or says why it would not.

use std::collections::BTreeMap;
use std::io::Write;

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::cli::print_json;
use crate::config::{Access, Config, Consolidation, Global, ServeArgs, Upkeep};
use crate::domain::time::DAY_MS;

pub(super) fn run(
    global: &Global,
    args: &ServeArgs,
    matches: &ArgMatches,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let config = Config::new(global, args)?;
    let rows: Vec<_> = served(global, &config)
        .into_iter()
        .chain(asked(&config.access))
        .chain(kept(&config.upkeep))
        .chain(consolidated(&config.consolidation))
        .collect();
    if global.json {
        let object: BTreeMap<_, _> = rows
            .iter()
            .map(|(name, value)| {
                (
                    *name,
                    serde_json::json!({"value": value, "source": source(matches, name)}),
                )
            })
            .collect();
        return print_json(out, &object);
    }
    for (name, value) in rows {
        writeln!(out, "{name:16} {value:40} {}", source(matches, name))?;
    }
    Ok(())
}

fn source(matches: &ArgMatches, name: &str) -> &'static str {
    match matches.value_source(name) {
        Some(ValueSource::CommandLine) => "flag",
        Some(ValueSource::EnvVariable) => "environment",
        _ => "default",
    }
}

type Row = (&'static str, String);

/// What is served, and how.
fn served(global: &Global, config: &Config) -> Vec<Row> {
    let log_file = config.log.file.as_ref();
    let log_file = log_file.map_or("(standard error)".to_owned(), |file| {
        file.display().to_string()
    });
    vec![
        ("db", config.store.path.display().to_string()),
        ("listen", config.listen.to_string()),
        ("redact", format!("{:?}", global.redact).to_lowercase()),
        ("workers", config.workers.to_string()),
        ("readers", config.store.readers.to_string()),
        (
            "durability",
            format!("{:?}", config.store.durability).to_lowercase(),
        ),
        (
            "request_timeout",
            format!("{} s", config.request_timeout.as_secs()),
        ),
        ("max_body", format!("{} bytes", config.max_body_bytes)),
        (
            "max_artifact",
            format!("{} bytes", config.max_artifact_bytes),
        ),
        (
            "allowed_host",
            listed(&config.allowed_hosts, "(loopback names)"),
        ),
        (
            "log_format",
            format!("{:?}", config.log.format).to_lowercase(),
        ),
        ("log_file", log_file),
        ("log", config.log.filter.clone()),
    ]
}

/// Who may ask.
fn asked(access: &Access) -> Vec<Row> {
    let or = |value: Option<String>, none: &str| value.unwrap_or_else(|| none.to_owned());
    let tls = access.tls.as_ref();
    let proxies = access.trusted_proxies.iter().map(ToString::to_string);
    let rate = access.rate_limit.map(|rate| format!("{rate}/s"));
    let days = access.audit_days.map(|days| days.to_string());
    let metrics = access.metrics_listen.map(|address| address.to_string());
    vec![
        ("metrics_listen", or(metrics, "(none)")),
        (
            "tls_cert",
            or(tls.map(|tls| tls.cert.display().to_string()), "(no TLS)"),
        ),
        (
            "tls_key",
            or(tls.map(|tls| tls.key.display().to_string()), "(no TLS)"),
        ),
        ("cors_origin", listed(&access.cors_origins, "(none)")),
        ("base_path", access.base_path.clone()),
        (
            "trusted_proxy",
            listed(&proxies.collect::<Vec<_>>(), "(none)"),
        ),
        ("rate_limit", or(rate, "off")),
        ("audit_days", or(days, "(for ever)")),
    ]
}

/// The file over its life.
fn kept(upkeep: &Upkeep) -> Vec<Row> {
    let days = upkeep
        .retain_events_ms
        .map_or_else(|| "off".to_owned(), |ms| format!("{}d", ms / DAY_MS));
    vec![
        ("backup", upkeep.backup.schedule.to_string()),
        ("backup_dir", upkeep.backup.dir.display().to_string()),
        ("backup_keep", upkeep.backup.keep.to_string()),
        ("retain_events", days),
    ]
}

/// When old memory is consolidated, and from when on what.
fn consolidated(set: &Consolidation) -> Vec<Row> {
    let thresholds = &set.thresholds;
    vec![
        ("consolidation", set.schedule.to_string()),
        ("summary_days", thresholds.summary_days.to_string()),
        ("quick_ref_days", thresholds.quick_ref_days.to_string()),
        ("integrated_days", thresholds.integrated_days.to_string()),
        ("archive_days", thresholds.archive_days.to_string()),
        ("identity_statements", thresholds.statements.to_string()),
    ]
}

fn listed(names: &[String], none: &str) -> String {
    if names.is_empty() {
        none.to_owned()
    } else {
        names.join(",")
    }
}
