//! Who makes a call. Every service method takes one, so that isolation and gating have one home.
//!
//! **Invariant:** holds no credential; by the time there is a `Caller`, somebody has checked.

use crate::domain::{Channel, Sensitivity, TenantId};

/// Through which door a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// The HTTP API.
    Http,
    /// The command line, with the permissions of the file.
    Cli,
    /// A job of the process itself.
    Job,
}

/// The maker of a call: which tenant it acts in and where the answer will be heard.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The tenant every row of the answer belongs to.
    pub tenant: TenantId,
    /// The channel the answer goes to; it gates by sensitivity.
    pub channel: Channel,
    /// The door.
    pub via: Via,
}

impl Caller {
    /// A local caller on the private channel, as the command line makes them.
    pub fn local(tenant: TenantId) -> Self {
        Self {
            tenant,
            channel: Channel::Private,
            via: Via::Cli,
        }
    }

    /// The highest sensitivity that this caller's lists and searches may show.
    pub fn clearance(&self) -> Sensitivity {
        self.channel.clearance()
    }
}
