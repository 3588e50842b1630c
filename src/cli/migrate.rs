//! `agent-memory migrate`.
//!
//! **Invariant:** a copy of the older file stands beside it before anything is changed.

use std::io::Write;

use crate::app;
use crate::cli::print_json;
use crate::clock::Clock;
use crate::config::{self, Global};
use crate::service::Limits;
use crate::store::{Role, sqlite};

pub(super) fn run(global: &Global, out: &mut dyn Write) -> anyhow::Result<()> {
    let options = config::store_options(global, Role::Server)?;
    let services = app::open(
        &options,
        Clock::System,
        Limits {
            max_artifact_bytes: 0,
        },
    )?;
    services.close();
    let (path, schema) = (options.path.display().to_string(), sqlite::schema_version());
    if global.json {
        return print_json(out, &serde_json::json!({"path": path, "schema": schema}));
    }
    Ok(writeln!(out, "{path} has schema {schema}")?)
}
