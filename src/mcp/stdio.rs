//! The protocol on standard input and output: one message a line.
//!
//! There is one client. Its messages are answered in the order in which they come, each before the next is read, so a
//! cancellation always comes too late, which the protocol allows: what it would have stopped took milliseconds. When the
//! input ends, or nobody reads the output any more, the client is gone.
//!
//! **Invariant:** nothing is written to the output that is no message.

use std::io::{self, BufRead, Read as _, Write};

use crate::domain::Caller;
use crate::mcp::message::Refusal;
use crate::mcp::way::at_once;
use crate::mcp::{Front, Reply, Way, answer};
use crate::service::Services;

/// Longest message, as long as a body over HTTP may be if the operator says nothing else.
pub const MAX_LINE_BYTES: usize = 10 * 1024 * 1024 + 64 * 1024;

/// Who is at the other end.
#[derive(Debug)]
pub struct Client {
    /// Whose memory.
    pub caller: Caller,
    /// The project of calls that name none.
    pub project: Option<String>,
    /// The session of writes that name none.
    pub session: String,
}

/// Answers until the client is gone. `log` is told why a request failed.
///
/// # Errors
/// Reading or writing failed, other than by the client's going.
pub fn serve(
    services: &Services,
    client: Client,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
    log: &mut dyn Write,
) -> io::Result<()> {
    let front = Front {
        way: Way::Direct(services),
        caller: client.caller,
        project: client.project,
        session: client.session,
        metrics: None,
    };
    let mut line = Vec::new();
    while let Some(message) = next(input, &mut line)? {
        let reply = match message {
            Line::TooLong => Refusal::invalid_request("the message is too long").reply(None),
            Line::Message([]) => continue,
            Line::Message(bytes) => respond(&front, bytes, log)?,
        };
        let Some(body) = reply.body else { continue };
        let sent = writeln!(output, "{body}").and_then(|()| output.flush());
        match sent {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            sent => sent?,
        }
        if line.capacity() > KEPT_BYTES {
            line = Vec::new();
        }
    }
    Ok(())
}

/// Room for a message that is kept for the next one.
const KEPT_BYTES: usize = 64 * 1024;

fn respond(front: &Front<'_>, bytes: &[u8], log: &mut dyn Write) -> io::Result<Reply> {
    match at_once(answer(front, bytes, None)) {
        Some(Ok(reply)) => Ok(reply),
        Some(Err(failure)) => {
            writeln!(log, "agent-memory: {}", failure.error.chain())?;
            Ok(failure.reply())
        }
        None => Err(io::Error::other("a call did not end")),
    }
}

enum Line<'a> {
    Message(&'a [u8]),
    TooLong,
}

/// The next line without its end, unless there is none.
fn next<'a>(input: &mut dyn BufRead, line: &'a mut Vec<u8>) -> io::Result<Option<Line<'a>>> {
    line.clear();
    let most = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
    let read = input.take(most).read_until(b'\n', line)?;
    if read == 0 {
        return Ok(None);
    }
    if read < MAX_LINE_BYTES || line.ends_with(b"\n") {
        return Ok(Some(Line::Message(line.trim_ascii())));
    }
    loop {
        line.clear();
        let read = input.take(most).read_until(b'\n', line)?;
        if read == 0 || line.ends_with(b"\n") {
            return Ok(Some(Line::TooLong));
        }
    }
}
