//! Who makes a call. Every service method takes one, so that isolation and gating have one home.
//!
//! A [`Caller`] says three things: which tenant it acts in (every row of an answer is that tenant's), on which channel
//! the answer is heard (it gates by sensitivity), and what it may do (its [`Scope`]). A front end makes one in two ways:
//! [`Caller::local`] for whoever has the permissions of the file, [`Caller::remote`] for whoever was admitted over the
//! network. The [`Actor`] in it is for the audit alone and decides nothing.
//!
//! **Invariant:** holds no credential; by the time there is a `Caller`, somebody has checked.

use std::net::IpAddr;
use std::sync::Arc;

use crate::domain::{Channel, KeyId, Name, Scope, Sensitivity, TenantId, Via};

/// Who does something, as the audit tells it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor {
    /// The door.
    pub via: Via,
    /// The key, if one was shown.
    pub key: Option<Arc<(KeyId, Name)>>,
    /// Where the call came from, if from a network.
    pub address: Option<IpAddr>,
}

/// The maker of a call: which tenant it acts in, where the answer will be heard, and what it may do.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The tenant every row of the answer belongs to.
    pub tenant: TenantId,
    /// The channel the answer goes to; it gates by sensitivity.
    pub channel: Channel,
    /// What it may do.
    pub scope: Scope,
    /// Who it is, for the audit.
    pub actor: Actor,
}

impl Caller {
    /// A caller with the permissions of the file, on the private channel, as the command line makes them.
    pub fn local(tenant: TenantId) -> Self {
        Self::local_by(Via::Cli, tenant)
    }

    /// The same through another local door.
    pub fn local_by(via: Via, tenant: TenantId) -> Self {
        Self {
            tenant,
            channel: Channel::Private,
            scope: Scope::Admin,
            actor: Actor {
                via,
                key: None,
                address: None,
            },
        }
    }

    /// A caller that was admitted over the network.
    pub fn remote(tenant: TenantId, channel: Channel, scope: Scope, actor: Actor) -> Self {
        Self {
            tenant,
            channel,
            scope,
            actor,
        }
    }

    /// Whether it acts with the permissions of the file, and not with those of a key.
    pub fn is_local(&self) -> bool {
        matches!(self.actor.via, Via::Cli | Via::Mcp | Via::Job)
    }

    /// The highest sensitivity that this caller's lists and searches may show.
    pub fn clearance(&self) -> Sensitivity {
        self.channel.clearance()
    }
}
