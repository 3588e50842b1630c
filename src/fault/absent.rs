//! Nothing is wrong.
//!
//! **Invariant:** no state, no effect.

/// No options.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {}

/// Does nothing.
///
/// # Errors
/// None.
pub fn listen(_args: &Args) -> std::io::Result<()> {
    Ok(())
}

/// The engine's code that a read is to fail with.
#[inline]
pub fn of_read() -> Option<i32> {
    None
}

/// The engine's code that a group of writes is to fail with.
#[inline]
pub fn of_write() -> Option<i32> {
    None
}

/// What befalls a request on its worker.
#[inline]
pub fn of_request() {}

/// What befalls a call on the blocking pool.
#[inline]
pub fn of_blocking() {}

/// Whether the sampler is to do nothing.
#[inline]
pub fn stops_sampler() -> bool {
    false
}

/// Whether the file is to be looked over now.
#[inline]
pub fn wants_look() -> bool {
    false
}

/// Whether requests and the store are measured.
#[inline]
pub fn measures() -> bool {
    true
}
