//! A connection below HTTP: how many there are, how slow a client may be, and words for what actix answers without any.
//!
//! actix bounds the first request's head and an idle connection, and no other wait. Left to it, a client that begins a
//! second request and goes silent, that leaves a chunked body without an end, or that does not read its answer, keeps
//! its connection for ever. So actix gets [`Wire`] for its socket, which knows how far the client is:
//!
//! * *Head.* From the first byte of a request (from the start, for the first one) to the last of its head. Too long is
//!   408, said here, since actix has no request yet.
//! * *Answering.* From there until the answer's last byte is handed to actix. The body has its own time
//!   ([`crate::http::request`]), and so has the work.
//! * *Quiet.* Nothing of a next request has come. An end after the keep-alive.
//! * *Leaving.* The request was answered before all of it had come. What still comes is thrown away for a moment, so that
//!   the answer is not taken back by closing on it.
//!
//! In all of them, a client that makes us wait to send goes by its [`Pace`], and is then cut off without ceremony.
//!
//! What actix answers by itself (400 to what is no HTTP, 431 to a head of over 128 KiB, of 256 KiB if it is there at once)
//! has no body. It is recognised by coming while nothing of ours is under way, and gets one.
//!
//! **Invariant:** what a request says is none of its business, and it changes no byte of an answer of ours.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::MessageBody;
use actix_web::dev::Extensions;
use actix_web::http::StatusCode;
use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::domain::Invalid;
use crate::http::pace::Pace;
use crate::http::problem::{Problem, of_status};
use crate::http::socket::{Socket, Tls};
use crate::metrics::{Answered, Cut, Metrics};
use crate::service::Error;

/// How long one that is sent away gets to hear why.
const FAREWELL: Duration = Duration::from_secs(1);
/// Most that are told why; whoever comes beyond them is turned away without a word.
const MOST_FAREWELLS: usize = 64;

/// What a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Most connections at once.
    pub connections: usize,
    /// Longest time for a request's head.
    pub head: Duration,
    /// Longest time from an answer to the next request.
    pub keep_alive: Duration,
    /// How long a client may make us wait to send.
    pub patience: Duration,
}

/// Where connections come in: one for all workers.
#[derive(Debug)]
pub struct Door {
    bounds: Bounds,
    tls: Option<Tls>,
    metrics: Arc<Metrics>,
    open: AtomicUsize,
    leaving: AtomicUsize,
}

impl Door {
    /// A door that nobody has come through.
    pub fn new(bounds: Bounds, tls: Option<Tls>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            tls,
            metrics,
            open: AtomicUsize::new(0),
            leaving: AtomicUsize::new(0),
        })
    }

    /// A connection, if there is a place for it; else the client is told so.
    ///
    /// # Errors
    /// There is no place.
    pub async fn enter(self: Arc<Self>, io: TcpStream) -> io::Result<Wire> {
        // It never fails for a socket that is open, and costs time, not sense, where it does.
        drop(io.set_nodelay(true));
        if self.open.fetch_add(1, Ordering::Relaxed) < self.bounds.connections {
            self.metrics.connection_opens();
            // It counts until it is dropped, also while the two agree on TLS.
            let place = Place(Arc::clone(&self));
            let io = match &self.tls {
                None => Socket::Plain(io),
                Some(tls) => match timeout(self.bounds.head, tls.accept(io)).await {
                    Ok(socket) => socket?,
                    Err(late) => {
                        self.metrics.connection_cut(Cut::SlowHead);
                        return Err(late.into());
                    }
                },
            };
            return Ok(Wire::new(io, place));
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.metrics.connection_cut(Cut::Full);
        let is_told = self.leaving.fetch_add(1, Ordering::Relaxed) < MOST_FAREWELLS;
        // In the clear a client of TLS would not understand it.
        if is_told && self.tls.is_none() {
            drop(timeout(FAREWELL, turn_away(io, &self.metrics)).await);
        }
        self.leaving.fetch_sub(1, Ordering::Relaxed);
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

/// Says that there is no place, and listens for as long as it takes to be heard: closing on what was not read would
/// take the answer back.
async fn turn_away(io: TcpStream, metrics: &Metrics) -> io::Result<()> {
    let words = spell(&Error::Overloaded.into(), metrics);
    let mut said = 0;
    while let Some(rest) = words.get(said..).filter(|rest| !rest.is_empty()) {
        io.writable().await?;
        said += unless_blocked(io.try_write(rest))?;
    }
    let mut io = io;
    std::future::poll_fn(|cx| Pin::new(&mut io).poll_shutdown(cx)).await?;
    let mut heard = [0; 4096];
    loop {
        io.readable().await?;
        match io.try_read(&mut heard) {
            Ok(0) => return Ok(()),
            other => unless_blocked(other)?,
        };
    }
}

fn unless_blocked(done: io::Result<usize>) -> io::Result<usize> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

/// How far a client is.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Quiet { since: Instant },
    Head { since: Instant },
    Answering,
    Leaving { since: Instant },
}

/// What a connection and its requests tell each other.
#[derive(Debug)]
pub(super) struct Course {
    phase: Cell<Phase>,
    /// Whether bytes of an answer of ours may not have been sent yet.
    unsent: Cell<bool>,
}

impl Course {
    /// A request's head is there.
    pub(super) fn begin(self: &Rc<Self>) -> Answering {
        self.phase.set(Phase::Answering);
        self.unsent.set(true);
        Answering {
            course: Rc::clone(self),
            is_last: Cell::new(false),
        }
    }

    fn is_ours(&self) -> bool {
        self.unsent.get() || matches!(self.phase.get(), Phase::Answering)
    }
}

/// Held for as long as a request is being answered.
#[derive(Debug)]
pub(super) struct Answering {
    course: Rc<Course>,
    is_last: Cell<bool>,
}

impl Answering {
    /// The connection ends with this answer, even if the request goes on.
    pub(super) fn is_last(&self) {
        self.is_last.set(true);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let since = Instant::now();
        self.course.phase.set(if self.is_last.get() {
            Phase::Leaving { since }
        } else {
            Phase::Quiet { since }
        });
    }
}

/// A client's socket, with bounds.
#[derive(Debug)]
pub struct Wire {
    io: Socket,
    door: Place,
    course: Rc<Course>,
    sending: Pace,
    /// Wakes the connection at or before the next of its deadlines.
    alarm: RefCell<Option<Pin<Box<Sleep>>>>,
    /// What is said in the place of an empty answer of actix's, and how much of it was sent.
    instead: Option<(Vec<u8>, usize)>,
}

impl Wire {
    fn new(io: Socket, door: Place) -> Self {
        let since = Instant::now();
        Self {
            sending: Pace::new(door.bounds.patience),
            io,
            door,
            course: Rc::new(Course {
                phase: Cell::new(Phase::Head { since }),
                unsent: Cell::new(false),
            }),
            alarm: RefCell::new(None),
            instead: None,
        }
    }

    /// Lets the requests of this connection tell it how they go.
    pub fn introduce(&self, to: &mut Extensions) {
        to.insert(Rc::clone(&self.course));
    }

    /// Whether it is that late; if not, the task is woken when it is, or earlier.
    fn is_late(&self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        if Instant::now() >= deadline {
            return true;
        }
        let mut alarm = self.alarm.borrow_mut();
        let is_set = alarm
            .as_ref()
            .is_some_and(|alarm| !alarm.is_elapsed() && alarm.deadline() <= deadline);
        if !is_set {
            let alarm = alarm.insert(Box::pin(sleep_until(deadline)));
            return alarm.as_mut().poll(cx).is_ready();
        }
        false
    }

    /// Says 408, if it can be said, and ends the connection.
    fn give_up_head(&mut self) -> io::Error {
        self.door.metrics.connection_cut(Cut::SlowHead);
        let words = spell(&Error::Timeout.into(), &self.door.metrics);
        // A client that does not read will not read this either.
        drop(self.io.try_write(&words));
        io::ErrorKind::TimedOut.into()
    }

    fn give_up_sending(&mut self) -> io::Error {
        self.door.metrics.connection_cut(Cut::SlowReader);
        // Otherwise the system would go on offering it what is in its buffers.
        drop(self.io.set_zero_linger());
        io::ErrorKind::TimedOut.into()
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.io).poll_write(cx, bytes) {
            Poll::Ready(done) => {
                self.sending.moves(*done.as_ref().unwrap_or(&0));
                Poll::Ready(done)
            }
            Poll::Pending if self.is_late_to_read(cx) => Poll::Ready(Err(self.give_up_sending())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Reads for nobody, until the client has heard or had its time; then it has ended for actix.
    fn poll_throw_away(&mut self, cx: &mut Context<'_>, since: Instant) -> Poll<io::Result<()>> {
        let mut scratch = [0; 4096];
        let end = since + FAREWELL;
        loop {
            let mut into = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.io).poll_read(cx, &mut into) {
                Poll::Pending if !self.is_late(end, cx) => return Poll::Pending,
                Poll::Ready(Ok(())) if !into.filled().is_empty() && Instant::now() < end => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
    }

    fn is_late_to_read(&mut self, cx: &mut Context<'_>) -> bool {
        let deadline = self.sending.waits();
        self.is_late(deadline, cx)
    }
}

/// A place among the connections, until it is dropped.
#[derive(Debug)]
struct Place(Arc<Door>);

impl std::ops::Deref for Place {
    type Target = Door;

    fn deref(&self) -> &Door {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.metrics.connection_closes();
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bounds = self.door.bounds;
        if let Phase::Leaving { since } = self.course.phase.get() {
            return self.poll_throw_away(cx, since);
        }
        let before = into.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, into);
        let has_some = read.is_ready() && into.filled().len() > before;
        match self.course.phase.get() {
            Phase::Quiet { .. } if has_some => {
                let since = Instant::now();
                self.course.phase.set(Phase::Head { since });
            }
            Phase::Quiet { since } if read.is_pending() => {
                if self.is_late(since + bounds.keep_alive, cx) {
                    // For actix, the client has ended it.
                    return Poll::Ready(Ok(()));
                }
            }
            Phase::Head { since } if read.is_pending() => {
                if self.is_late(since + bounds.head, cx) {
                    return Poll::Ready(Err(self.give_up_head()));
                }
            }
            Phase::Quiet { .. } | Phase::Head { .. } | Phase::Answering | Phase::Leaving { .. } => {
            }
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wire = &mut *self;
        if wire.instead.is_none() && !wire.course.is_ours() {
            wire.instead = in_words(bytes, &wire.door.metrics).map(|words| (words, 0));
        }
        let Some((words, mut sent)) = wire.instead.take() else {
            return wire.poll_send(cx, bytes);
        };
        while let Some(rest) = words.get(sent..).filter(|rest| !rest.is_empty()) {
            match wire.poll_send(cx, rest) {
                Poll::Ready(Ok(some)) => sent += some,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    wire.instead = Some((words, sent));
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // actix asks for it when its buffer is empty.
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.sending.begin_anew();
        match self.course.phase.get() {
            Phase::Answering => {}
            Phase::Quiet { .. } | Phase::Head { .. } => self.course.unsent.set(false),
            Phase::Leaving { .. } if self.course.unsent.replace(false) => {
                ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
                // actix has no reason of its own to look whether the client has ended.
                cx.waker().wake_by_ref();
            }
            Phase::Leaving { .. } => {}
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// What to say in the place of an empty failure of actix's, which alone is in its buffer then.
fn in_words(bytes: &[u8], metrics: &Metrics) -> Option<Vec<u8>> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let status = StatusCode::from_bytes(status).ok()?;
    if !(status.is_client_error() || status.is_server_error()) {
        return None;
    }
    let problem = match status {
        StatusCode::BAD_REQUEST => {
            Problem::Unparsable(Invalid::new("request", "is not HTTP/1.1 as it should be"))
        }
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Problem::Refused(status),
        other => of_status(other),
    };
    Some(spell(&problem, metrics))
}

/// A problem as the last answer on its connection. It is counted like one that matched no route.
fn spell(problem: &Problem, metrics: &Metrics) -> Vec<u8> {
    let request_id = uuid::Uuid::now_v7().simple().to_string();
    let response: HttpResponse = problem.render(&request_id);
    let status = response.status();
    metrics.request_begins();
    if let Some(why) = problem.refusal() {
        metrics.request_refused(why);
    }
    metrics.request_ends(&Answered {
        pattern: None,
        method: "OTHER",
        status: status.as_u16(),
        took: Duration::ZERO,
        request_id: &request_id,
    });
    let mut words =
        format!("HTTP/1.1 {status}\r\nx-request-id: {request_id}\r\nconnection: close\r\n")
            .into_bytes();
    for (name, value) in response.headers() {
        words.extend_from_slice(name.as_str().as_bytes());
        words.extend_from_slice(b": ");
        words.extend_from_slice(value.as_bytes());
        words.extend_from_slice(b"\r\n");
    }
    let body = response.into_body().try_into_bytes().unwrap_or_default();
    words.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    words.extend_from_slice(&body);
    words
}
