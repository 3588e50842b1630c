//! `agent-memory key`.
//!
//! **Invariant:** prints a key once, when it is made, and on standard output alone.

use std::io::{IsTerminal as _, Write};

use clap::{Args, Subcommand};

use crate::cli::{Session, one_line, print_json};
use crate::config::Global;
use crate::domain::key::{KeyDraft, life};
use crate::domain::{KeyId, Name, Scope, Timestamp};
use crate::service::{Error, MadeKey};
use crate::store::KeyChoice;

/// What to do with keys.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a key for a tenant (--tenant) and show it, once; from the first one on, the server asks for keys
    Create(CreateArgs),
    /// List the keys of all tenants
    List,
    /// Revoke a key; running servers refuse it at once
    Revoke {
        /// Its id (`key_…`), or its name in the tenant
        key: String,
    },
    /// Ask for keys again
    Enable,
    /// Stop asking for keys; a server that listens beyond this machine still does
    Disable,
}

/// Flags of `key create`.
#[derive(Debug, Args)]
struct CreateArgs {
    /// What it is called
    name: String,
    /// What it allows: read, write (and read), admin (and both)
    #[arg(long, value_name = "SCOPE", default_value = "write")]
    scope: String,
    /// When it ends by itself, such as 90d, 12h or 30m [default: never]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

pub(super) fn run(global: &Global, args: &KeyArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    match &args.verb {
        Verb::Create(args) => create(&Session::open(global)?, args, out),
        Verb::List => list(&Session::open_existing(global)?, out),
        Verb::Revoke { key } => revoke(&Session::open_existing(global)?, key, out),
        Verb::Enable => ask(&Session::open(global)?, true, out),
        Verb::Disable => ask(&Session::open(global)?, false, out),
    }
}

fn create(session: &Session, args: &CreateArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let life = args
        .expires
        .as_deref()
        .map(|text| life("--expires", text))
        .transpose()?;
    let now = session.services.now();
    let draft = KeyDraft {
        tenant_id: None,
        name: args.name.clone(),
        scope: Scope::parse("--scope", &args.scope)?,
        expires_at: life.map(|life| Timestamp::from_millis(now.millis() + life)),
    };
    let (key, pending) = session.services.create_key(&session.caller, &draft)?;
    let about = pending.wait().map_err(Error::from)?;
    if session.json {
        return print_json(out, &MadeKey { key, about });
    }
    writeln!(out, "{key}")?;
    // A script reads the key alone; the rest is for people.
    if !std::io::stdout().is_terminal() {
        return Ok(());
    }
    let until = about
        .expires_at
        .map_or(String::new(), |end| format!(", until {end}"));
    writeln!(
        out,
        "{}: may {}, in the tenant {}{until}. It is not shown again. Send it as `Authorization: Bearer KEY`.",
        about.key_id,
        may(about.scope),
        about.tenant_id,
    )?;
    if !session.services.asks_for_keys()? {
        let said = "Asking for keys is switched off: `agent-memory key enable` switches it on.";
        writeln!(out, "{said}")?;
    }
    Ok(())
}

fn may(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Write => "read and write",
        Scope::Admin => "do everything",
    }
}

fn list(session: &Session, out: &mut dyn Write) -> anyhow::Result<()> {
    let keys = session.services.keys(&session.caller)?;
    if session.json {
        return print_json(out, &serde_json::json!({"keys": keys}));
    }
    let now = session.services.now();
    for key in &keys {
        let state = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {at}"),
            (None, Some(end)) if end <= now => format!("expired {end}"),
            (None, Some(end)) => format!("until {end}"),
            (None, None) => "good".to_owned(),
        };
        let used = key
            .last_used_at
            .map_or("never used".to_owned(), |at| format!("used {at}"));
        writeln!(
            out,
            "{}  {}…  {:5}  {}  {}  {state}, {used}",
            key.key_id,
            key.prefix,
            key.scope.as_str(),
            key.tenant_id,
            one_line(key.name.as_str(), 64),
        )?;
    }
    Ok(())
}

fn revoke(session: &Session, key: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let choice = if key.starts_with(KeyId::PREFIX) {
        KeyChoice::Id(KeyId::parse("KEY", key)?)
    } else {
        KeyChoice::Name(Name::parse("KEY", key)?)
    };
    let revoked = session
        .services
        .revoke_key(&session.caller, choice)?
        .wait()
        .map_err(Error::from)?;
    if session.json {
        return print_json(out, &revoked);
    }
    Ok(writeln!(out, "revoked {}", revoked.key_id)?)
}

fn ask(session: &Session, ask: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    session
        .services
        .ask_for_keys(&session.caller, ask)?
        .wait()
        .map_err(Error::from)?;
    let said = if ask {
        "every request needs a key now"
    } else {
        "requests from this machine need no key now"
    };
    Ok(writeln!(out, "{said}")?)
}
