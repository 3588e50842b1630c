//! How often somebody may ask: a token bucket for each key, and for each address of those without one.
//!
//! A bucket fills at the rate and holds twice as much, so that a burst passes. A key has one bucket, from wherever it is
//! used; whoever shows none, or none that is good, has the bucket of the address. Loopback addresses have none: whoever
//! is on the machine can take its processors anyway, and a limit there would only stand in the way of a busy team.
//!
//! **Invariant:** holds a bounded number of buckets: where it is full, those go first that have filled up again, and
//! who comes then shares one with all others like it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::domain::KeyId;
use crate::service::Error;

/// Buckets at most: some 4 MB.
const MOST: usize = 65_536;
/// How much more than a second's worth a bucket holds.
const BURST: f64 = 2.0;

/// Whose bucket it is. Of IPv6 the first 64 bits, which is what one household gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    Key(KeyId),
    Address(IpAddr),
    Others,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// How often somebody may ask.
#[derive(Debug, Default)]
pub struct Rate {
    per_second: Option<f64>,
    buckets: Mutex<HashMap<Who, Bucket>>,
}

impl Rate {
    /// So many requests a second for each; as many as they like, if none.
    pub fn new(per_second: Option<u32>) -> Self {
        Self {
            per_second: per_second.map(f64::from),
            buckets: Mutex::default(),
        }
    }

    /// Takes a token of a key's.
    pub(super) fn take_key(&self, key: KeyId) -> Result<(), Error> {
        self.take(Who::Key(key), Instant::now)
    }

    /// Takes a token of an address's.
    pub(super) fn take_address(&self, address: Option<IpAddr>) -> Result<(), Error> {
        match address {
            Some(address) if address.is_loopback() => Ok(()),
            Some(address) => self.take(Who::Address(household(address)), Instant::now),
            None => self.take(Who::Others, Instant::now),
        }
    }

    fn take(&self, who: Who, now: impl FnOnce() -> Instant) -> Result<(), Error> {
        let Some(rate) = self.per_second else {
            return Ok(());
        };
        let (now, most) = (now(), rate * BURST);
        let filled = |bucket: &Bucket| {
            let since = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.tokens + since * rate).min(most)
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut who = who;
        if buckets.len() >= MOST && !buckets.contains_key(&who) {
            buckets.retain(|_, bucket| filled(bucket) < most);
            if buckets.len() >= MOST {
                who = Who::Others;
            }
        }
        let new = Bucket {
            tokens: most,
            at: now,
        };
        let bucket = buckets.entry(who).or_insert(new);
        let tokens = filled(bucket);
        if tokens < 1.0 {
            return Err(Error::RateLimited);
        }
        *bucket = Bucket {
            tokens: tokens - 1.0,
            at: now,
        };
        Ok(())
    }
}

fn household(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let net = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(net.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn address(text: &str) -> Who {
        Who::Address(household(text.parse().unwrap()))
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (rate, start) = (Rate::new(Some(10)), Instant::now());
        let passed = |who, after_ms: u64| {
            let at = start + Duration::from_millis(after_ms);
            (0..100).filter(|_| rate.take(who, || at).is_ok()).count()
        };
        let one = address("192.0.2.1");
        assert_eq!(passed(one, 0), 20);
        assert_eq!(passed(one, 100), 1);
        assert_eq!(passed(one, 1_100), 10);
        assert_eq!(passed(one, 60_000), 20);
        // Another has its own, and a clock that goes back gives nothing.
        assert_eq!(passed(address("192.0.2.2"), 0), 20);
        assert_eq!(passed(one, 0), 0);
        assert_eq!(address("2001:db8::1"), address("2001:db8::2"));
    }

    #[test]
    fn there_are_never_more_buckets_than_that() {
        let (rate, start) = (Rate::new(Some(1)), Instant::now());
        let take = |number: usize, at| {
            let number = u32::try_from(number).unwrap();
            rate.take(Who::Address(IpAddr::from(number.to_be_bytes())), || at)
        };
        for number in 0..MOST {
            take(number, start).unwrap();
        }
        // These share one.
        take(MOST, start).unwrap();
        take(MOST + 1, start).unwrap();
        assert!(take(MOST + 2, start).is_err());
        assert_eq!(rate.buckets.lock().unwrap().len(), MOST + 1);
        let later = start + Duration::from_secs(3);
        take(MOST + 3, later).unwrap();
        assert_eq!(rate.buckets.lock().unwrap().len(), 1);
    }

    #[test]
    fn loopback_and_a_rate_of_none_are_not_limited() {
        let (limited, free) = (Rate::new(Some(1)), Rate::new(None));
        for _ in 0..100 {
            limited
                .take_address(Some("127.0.0.1".parse().unwrap()))
                .unwrap();
            limited.take_address(Some("::1".parse().unwrap())).unwrap();
            free.take_address(Some("192.0.2.1".parse().unwrap()))
                .unwrap();
        }
    }
}
