//! `agent-memory config`.
//!
//! **Invariant:** shows what `serve` would do with the same flags and environment, or says why it would not.

use std::collections::BTreeMap;
use std::io::Write;

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::cli::print_json;
use crate::config::{Config, Global, ServeArgs};

pub(super) fn run(
    global: &Global,
    args: &ServeArgs,
    matches: &ArgMatches,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let config = Config::new(global, args)?;
    let host = |names: &[String]| {
        if names.is_empty() {
            "(loopback names)".to_owned()
        } else {
            names.join(",")
        }
    };
    let rows = [
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
        ("allowed_host", host(&config.allowed_hosts)),
        (
            "log_format",
            format!("{:?}", config.log.format).to_lowercase(),
        ),
        (
            "log_file",
            config
                .log
                .file
                .as_ref()
                .map_or("(standard error)".to_owned(), |file| {
                    file.display().to_string()
                }),
        ),
        ("log", config.log.filter.clone()),
    ];
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
