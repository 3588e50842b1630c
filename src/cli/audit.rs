//! `agent-memory audit`.
//!
//! **Invariant:** newest first, and never more than asked for.

use std::io::Write;

use clap::Args;

use crate::cli::{Session, print_json};
use crate::config::Global;
use crate::domain::audit::{AuditFilter, AuditRow};
use crate::domain::page::{List, Page};
use crate::domain::{AuditAction, KeyId, TenantId, Timestamp};

/// Flags of `audit`.
#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    /// Only in this tenant [default: in all]
    #[arg(long, value_name = "NAME")]
    of: Option<String>,
    /// Only what was done so, such as `event_record`, `key_revoke` or `denied_key`
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only what was done with this key (`key_…`)
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Only at or after this time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Most rows
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: i64,
    /// Where the last page ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// desc (newest first) or asc
    #[arg(long, value_name = "ORDER", default_value = "desc")]
    order: String,
}

pub(super) fn run(global: &Global, args: &AuditArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let session = Session::open_existing(global)?;
    let time = |field, text: &Option<String>| {
        text.as_deref()
            .map(|text| Timestamp::parse(field, text))
            .transpose()
    };
    let filter = AuditFilter {
        tenant: args
            .of
            .as_deref()
            .map(|name| TenantId::parse("--of", name))
            .transpose()?,
        action: args
            .action
            .as_deref()
            .map(|word| AuditAction::parse("--action", word))
            .transpose()?,
        key: args
            .key
            .as_deref()
            .map(|id| KeyId::parse("--key", id))
            .transpose()?,
        since: time("--since", &args.since)?,
        until: time("--until", &args.until)?,
    };
    let page = Page::parse(
        List::Audit,
        Some(args.limit),
        Some(&args.order),
        args.cursor.as_deref(),
    )?;
    let rows = session.services.audit(&session.caller, &filter, &page)?;
    if session.json {
        let body = serde_json::json!({"audit": rows.items, "next_cursor": rows.next_cursor});
        return print_json(out, &body);
    }
    for row in &rows.items {
        writeln!(out, "{}", line(row))?;
    }
    if let Some(cursor) = rows.next_cursor {
        writeln!(out, "more with --cursor {cursor}")?;
    }
    Ok(())
}

fn line(row: &AuditRow) -> String {
    let mut line = format!("{}  {:17}", row.ts, row.action.as_str());
    let mut add = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            line.push_str(&format!("  {name}={value}"));
        }
    };
    add("tenant", row.tenant_id.as_deref());
    add("via", Some(row.via.as_str()));
    add("key", row.key_name.as_deref());
    add("from", row.address.as_deref());
    let count = (row.count != 1).then(|| row.count.to_string());
    add("count", count.as_deref());
    add("id", row.first_id.as_deref());
    add("last", row.last_id.as_deref());
    line
}
