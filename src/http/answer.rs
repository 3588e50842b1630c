//! The body of an answer on its way out.
//!
//! actix copies a body into its own buffer as it gets it. A long one is handed over piece by piece, so that it is not in
//! memory twice and is gone when its client has read it.
//!
//! **Invariant:** the bytes and their number are those of the body that it was given.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::http::connection::Answering;
use crate::metrics::Metrics;

/// Bytes handed over at once; actix sends when it has this many.
const PIECE_BYTES: usize = 32 * 1024;

/// A body, and what is held until the last of it is handed over.
pub(super) struct Answer {
    size: BodySize,
    content: Content,
    _answering: Option<Answering>,
    _room: Option<OwnedSemaphorePermit>,
    given: u64,
    metrics: Arc<Metrics>,
}

enum Content {
    Whole(Bytes),
    Parts(BoxBody),
}

impl Answer {
    pub(super) fn new(
        body: BoxBody,
        answering: Option<Answering>,
        room: Option<OwnedSemaphorePermit>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let size = body.size();
        Self {
            size,
            content: body
                .try_into_bytes()
                .map_or_else(Content::Parts, Content::Whole),
            _answering: answering,
            _room: room,
            given: 0,
            metrics,
        }
    }
}

impl MessageBody for Answer {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = match &mut self.content {
            Content::Parts(body) => Pin::new(body).poll_next(cx),
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => {
                let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
                Poll::Ready(Some(Ok(piece)))
            }
        };
        if let Poll::Ready(Some(Ok(piece))) = &next {
            self.given += u64::try_from(piece.len()).unwrap_or(0);
        }
        next
    }
}

impl Drop for Answer {
    /// However far it came: a client may leave in the middle.
    fn drop(&mut self) {
        self.metrics.response_had(self.given);
    }
}
