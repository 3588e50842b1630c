//! What goes on after an answer, on a thread of its own.
//!
//! Today that is forgetting in slices. Each slice is one write among others, so requests get their turn in between.
//!
//! **Invariant:** a job may be cut off anywhere and goes on at the next start.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::service::{Error, Services};
use crate::store::Slice;

/// How often an idle job thread looks whether it should stop.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Pause before another try after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The job thread.
#[derive(Debug)]
pub struct Jobs {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Jobs {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(services: Services) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("jobs".into())
            .spawn(move || run(&services, &stopped))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Stops after the slice at hand.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the job thread panicked");
        }
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(services: &Services, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        if !services.bell().wait(LOOK_EVERY) {
            continue;
        }
        loop {
            if stop.load(Ordering::Acquire) {
                return;
            }
            match services.forget_slice() {
                Ok(Slice::More) => {}
                Ok(Slice::Done) => break,
                Err(Error::Overloaded) => thread::sleep(LOOK_EVERY),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "forgetting could not go on"
                    );
                    thread::sleep(AFTER_FAILURE);
                    services.bell().ring();
                    break;
                }
            }
        }
    }
}
