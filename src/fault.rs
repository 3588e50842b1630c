//! Faults on purpose, in a build of their own (`--features fault`): what only a fault moves can be tested with it.
//!
//! The places that can fail ask here; in the build that is shipped they are told that nothing is wrong, which compiles to
//! nothing, and no option, no socket and no word of it are in the binary.
//!
//! **Invariant:** the only module that knows of the feature, but for the one that asks SQLite to tell of its statements
//! (`store::sqlite::traced`), which only SQLite's own types can be asked for.

#[cfg(not(feature = "fault"))]
mod absent;
#[cfg(feature = "fault")]
mod injected;

#[cfg(not(feature = "fault"))]
pub use absent::{
    Args, listen, measures, of_blocking, of_read, of_request, of_write, stops_sampler, wants_look,
};
#[cfg(feature = "fault")]
pub use injected::{
    Args, listen, measures, note_statement, of_blocking, of_read, of_request, of_write,
    stops_sampler, wants_look,
};
