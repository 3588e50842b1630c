//! What stands at a coding agent's side: its hooks, its session files, its settings.
//!
//! A hook is a short-lived process that the agent waits for. It opens the memory's file itself ([`hook`]), finds the
//! project that the agent works in ([`place`]), reads what is new in the agent's own session file ([`session_file`]),
//! and stores it. How far a file was read stands in the store and is written with what was read, so nothing is lost by
//! a hook that was killed, and nothing is recorded twice by one that runs again. If the store cannot be written, the
//! same goes into the [`spool`], and whichever hook is called next brings it in.
//!
//! What an agent kept before there was a memory comes in by [`history`].
//!
//! [`install`] writes the hooks and the MCP entry into the agents' settings and takes them out again; [`mod@unit`] does the
//! same for the service that keeps the server running.
//!
//! **Invariant:** never makes an agent wait for long, never breaks its session, and changes nothing of an agent's
//! settings but its own entries.

pub mod history;
pub mod hook;
pub mod install;
pub mod place;
pub mod session_file;
pub mod settings;
pub mod spool;
pub mod switch;
pub mod unit;
