//! Memory for what is on its way in or out.
//!
//! A thousand clients that each send ten megabytes slowly, or read eight slowly, would fill the memory one by one, within
//! every other limit. So long bodies share a room in each direction; whoever finds it full is told that the server is busy.
//!
//! **Invariant:** a short body needs no room, so that what agents do all day goes on whatever a few do.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::service::Error;

/// Bytes of a body that are not counted: a thousand connections have 64 MiB of them.
pub(super) const FREE_BYTES: usize = 64 * 1024;
/// The room in each direction, or twice the largest body if that is more.
const ROOM_BYTES: usize = 256 * 1024 * 1024;
const KIB: usize = 1024;

/// Room for long bodies, in each direction.
#[derive(Debug)]
pub struct Room {
    incoming: Arc<Semaphore>,
    outgoing: Arc<Semaphore>,
}

impl Room {
    /// Room for bodies of up to `largest` bytes.
    pub fn new(largest: usize) -> Self {
        let kib = ROOM_BYTES.max(largest.saturating_mul(2)) / KIB;
        Self {
            incoming: Arc::new(Semaphore::new(kib)),
            outgoing: Arc::new(Semaphore::new(kib)),
        }
    }

    /// Room for a request's body, which takes it as it grows.
    pub(super) fn incoming(&self) -> Growing {
        Growing {
            room: Arc::clone(&self.incoming),
            held: None,
        }
    }

    /// Room for an answer of `bytes`, if it needs any.
    pub(super) fn outgoing(&self, bytes: u64) -> Result<Option<OwnedSemaphorePermit>, Error> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut growing = Growing {
            room: Arc::clone(&self.outgoing),
            held: None,
        };
        growing.to(bytes)?;
        Ok(growing.held)
    }
}

/// Room that is held.
#[derive(Debug)]
pub(super) struct Growing {
    room: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Growing {
    /// Holds room for `bytes` in all.
    ///
    /// # Errors
    /// `Overloaded`: there is not so much.
    pub(super) fn to(&mut self, bytes: usize) -> Result<(), Error> {
        if bytes <= FREE_BYTES {
            return Ok(());
        }
        let held = self
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(KIB).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        // By larger steps than it grows, so that it asks seldom.
        let more = u32::try_from(more.max(FREE_BYTES / KIB)).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.room)
            .try_acquire_many_owned(more)
            .map_err(|_| Error::Overloaded)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }

    /// What is held, for as long as the body is kept.
    pub(super) fn keep(self) -> Option<OwnedSemaphorePermit> {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bodies_share_it_and_short_ones_need_none() {
        let room = Room::new(0);
        let mut bodies = Vec::new();
        let refused = loop {
            let mut body = room.incoming();
            let taken = (1..=10).try_for_each(|megabytes| body.to(megabytes << 20));
            match taken {
                Ok(()) => bodies.push(body),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::Overloaded));
        assert_eq!(bodies.len(), 25);
        room.incoming().to(FREE_BYTES).unwrap();
        assert!(room.outgoing(1 << 20).unwrap().is_some());
        bodies.pop();
        room.incoming().to(10 << 20).unwrap();
    }
}
