//! The state of one lattice: the fold of everything that was recorded.
//!
//! What it keeps of one thing is left to `records`. Fields are private; what changes them is in the files of the
//! operations, through the few doors at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::records::Invitation;
use crate::decide::LAW;
use crate::digest::Digest;
use crate::govern::{
    AdministratorKeys, Bind, ComponentRecord, Disorder, HostKeys, HostRecord, HostStanding, LinkKey, LinkSlot, Owned,
    ProviderRecord, Published, Waiting, Weighty, end,
};
use crate::issuer::Issuers;
use crate::key::{Administrator, Host, Invite, Name, Role, Root, refuse_published};
use crate::name::{ComponentId, Lattice, LinkName, Package, RelaxationId};
use crate::provider::Subject;
use crate::reason::{Reason, Refusal};
use crate::relax::Relaxation;
use crate::rules::{Language, NoLanguage, RulesRecord};
use crate::time::Timestamp;
use crate::warrant::{Inception, Quorum, Rank};
use crate::wire::{COMMAND_LIFETIME_S, Nonce};
use crate::withdrawal::Withdrawn;

/// Everything that decisions depend on, besides the question.
#[derive(Debug, Clone)]
pub struct State {
    inception: Inception,
    // The hash of the entry that says so: the lattice's name, which hosts pin.
    inception_sha256: Digest,
    next_index: u64,
    // The hash of the last entry.
    last: Digest,
    epoch: u64,
    warrant: Rank,
    warrant_sha256: Option<Digest>,
    log_key: String,
    // The raw bytes of every key that has a role, so that one key has one purpose (T09).
    keys: BTreeMap<[u8; 32], &'static str>,
    // Who signed warrants, from inception on; the last are today's.
    pub(super) root_sets: Vec<Quorum<Root>>,
    pub(super) administrators: AdministratorKeys,
    pub(super) thresholds: BTreeMap<Weighty, u64>,
    pub(super) waiting: BTreeMap<Nonce, Waiting>,
    pub(super) issuers: Issuers,
    pub(super) contracts: BTreeMap<Package, Published>,
    pub(super) defaults: BTreeMap<Package, Bind>,
    pub(super) components: BTreeMap<ComponentId, ComponentRecord>,
    pub(super) providers: BTreeMap<Digest, ProviderRecord>,
    pub(super) hosts: BTreeMap<Name<Host>, HostRecord>,
    pub(super) invites: BTreeMap<Name<Invite>, Invitation>,
    // What there may be very many of is shared with the readers' copies, and copied when it next changes.
    links: Arc<BTreeMap<LinkKey, LinkSlot>>,
    // The bytes of each subject in the order of their admission, the newest last.
    pub(super) admitted: BTreeMap<Subject, Vec<Digest>>,
    pub(super) subjects: BTreeMap<Subject, Owned>,
    pub(super) rules: Option<RulesRecord>,
    // Who reads rules: no part of what was recorded, but of who reads it.
    language: Arc<dyn Language>,
    // What runs already and lost its ground.
    pub(super) withdrawn: Withdrawn,
    pub(crate) disorder: Disorder,
    pub(super) relaxations: BTreeMap<RelaxationId, Relaxation>,
    // The latest end of the standby permits that each host was given.
    standbys: BTreeMap<Name<Host>, Timestamp>,
    // The law it is judged under: that of an entry while it is judged again, the newest otherwise.
    law: u64,
    host_keys: HostKeys,
    seen: BTreeMap<Nonce, Timestamp>,
    // Since the clock was acknowledged: what was signed before counts no more.
    pub(super) signed_since: Timestamp,
    touched: Arc<BTreeMap<String, u64>>,
}

impl State {
    /// The state after a lattice's inception.
    ///
    /// # Errors
    /// `key_in_use` when one key has two roles, `key_published` for an example's, `threshold_unmet` when a quorum can never be met.
    pub fn incept(inception: Inception) -> Result<Self, Refusal> {
        let mut state = Self {
            inception_sha256: Digest::from_bytes([0; 32]),
            next_index: 1,
            last: Digest::from_bytes([0; 32]),
            epoch: 0,
            warrant: Rank::default(),
            warrant_sha256: None,
            log_key: inception.log_key.clone(),
            keys: BTreeMap::new(),
            root_sets: vec![inception.roots.clone()],
            administrators: AdministratorKeys::founding(&inception.administrators),
            thresholds: BTreeMap::new(),
            waiting: BTreeMap::new(),
            issuers: Issuers::default(),
            contracts: BTreeMap::new(),
            defaults: BTreeMap::new(),
            components: BTreeMap::new(),
            providers: BTreeMap::new(),
            hosts: BTreeMap::new(),
            invites: BTreeMap::new(),
            links: Arc::default(),
            admitted: BTreeMap::new(),
            subjects: BTreeMap::new(),
            rules: None,
            language: Arc::new(NoLanguage),
            withdrawn: Withdrawn::default(),
            disorder: Disorder::default(),
            relaxations: BTreeMap::new(),
            standbys: BTreeMap::new(),
            law: LAW,
            host_keys: HostKeys::default(),
            seen: BTreeMap::new(),
            signed_since: Timestamp::from_millis(0),
            touched: Arc::default(),
            inception: inception.clone(),
        };
        inception.roots.sound()?;
        inception.administrators.sound()?;
        for key in &inception.roots.keys {
            state.unused(key.name().raw(), Root::WORD)?;
            state.claim_key(*key.name().raw(), Root::WORD);
        }
        for key in &inception.administrators.keys {
            state.unused(key.name().raw(), Administrator::WORD)?;
            state.claim_key(*key.name().raw(), Administrator::WORD);
        }
        Ok(state)
    }

    /// The lattice.
    pub const fn lattice(&self) -> &Lattice {
        &self.inception.lattice
    }

    /// The inception.
    pub const fn inception(&self) -> &Inception {
        &self.inception
    }

    /// The hash of the entry that it began with; zeros before that is in a log.
    pub const fn inception_sha256(&self) -> Digest {
        self.inception_sha256
    }

    /// Who commands: the verifier of commands and queries.
    pub const fn administrators(&self) -> &AdministratorKeys {
        &self.administrators
    }

    /// The verifier of requests.
    pub const fn host_keys(&self) -> &HostKeys {
        &self.host_keys
    }

    /// The index of the newest governance event.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The law it is judged under.
    pub const fn law(&self) -> u64 {
        self.law
    }

    /// The index that the next entry will have.
    pub const fn next_index(&self) -> u64 {
        self.next_index
    }

    /// The hash of the last entry.
    pub(super) const fn last(&self) -> Digest {
        self.last
    }

    /// The serial of the newest warrant.
    pub const fn warrant_serial(&self) -> u64 {
        self.warrant.serial
    }

    /// Where the newest warrant stands among all.
    pub const fn warrant_rank(&self) -> Rank {
        self.warrant
    }

    /// The digest of the newest warrant.
    pub const fn warrant_sha256(&self) -> Option<Digest> {
        self.warrant_sha256
    }

    /// The log's verifier key: the inception's, or that of the last warrant that named another.
    pub fn log_key(&self) -> &str {
        &self.log_key
    }

    /// The trusted issuers.
    pub const fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// The published contracts.
    pub const fn contracts(&self) -> &BTreeMap<Package, Published> {
        &self.contracts
    }

    /// The lattice's defaults; absent means never.
    pub const fn defaults(&self) -> &BTreeMap<Package, Bind> {
        &self.defaults
    }

    /// The components, by id.
    pub const fn components(&self) -> &BTreeMap<ComponentId, ComponentRecord> {
        &self.components
    }

    /// The providers, by digest.
    pub const fn providers(&self) -> &BTreeMap<Digest, ProviderRecord> {
        &self.providers
    }

    /// The hosts.
    pub const fn hosts(&self) -> &BTreeMap<Name<Host>, HostRecord> {
        &self.hosts
    }

    /// The invitations that nobody has used yet, ended ones too: key, labels, last second.
    pub fn invitations(&self) -> impl Iterator<Item = (&Name<Invite>, &BTreeMap<String, String>, Timestamp)> {
        self.invites.iter().map(|(key, invitation)| (key, &invitation.labels, invitation.not_after))
    }

    /// The operator's rules that stand.
    pub const fn rules(&self) -> Option<&RulesRecord> {
        self.rules.as_ref()
    }

    /// Who reads rules.
    pub(crate) fn language(&self) -> &dyn Language {
        self.language.as_ref()
    }

    /// What lost its ground and may run all the same.
    pub const fn withdrawn(&self) -> &Withdrawn {
        &self.withdrawn
    }

    /// What is out of order with the log's time or with what hosts have seen of it.
    pub const fn disorder(&self) -> &Disorder {
        &self.disorder
    }

    /// The links and tombstones.
    pub fn links(&self) -> &BTreeMap<LinkKey, LinkSlot> {
        &self.links
    }

    /// The relaxations, ended ones too until another is put.
    pub const fn relaxations(&self) -> &BTreeMap<RelaxationId, Relaxation> {
        &self.relaxations
    }

    /// The latest end of the standby permits that each host was given, over ones too.
    pub const fn standbys(&self) -> &BTreeMap<Name<Host>, Timestamp> {
        &self.standbys
    }

    /// The link names that are in use for one import.
    pub fn link_names<'a>(
        &'a self,
        component: &'a ComponentId,
        package: &'a Package,
    ) -> impl Iterator<Item = &'a LinkName> {
        let from = LinkKey { component: component.clone(), package: package.clone(), name: LinkName::first() };
        let same = move |key: &LinkKey| key.component == *component && key.package == *package;
        let range = self.links.range(from..).take_while(move |(key, _)| same(key));
        range.filter(|(_, slot)| matches!(slot, LinkSlot::Live(_))).map(|(key, _)| &key.name)
    }

    /// The index of the last event about a subject.
    pub fn last_touched(&self, subject: &str) -> Option<u64> {
        self.touched.get(subject).copied()
    }

    /// Whether a command of that id was judged.
    pub fn has_seen(&self, id: Nonce) -> bool {
        self.seen.contains_key(&id)
    }

    /// Checks that no role has this key yet, and that it is nobody's example: every registration passes here.
    pub(crate) fn unused(&self, raw: &[u8; 32], role: &str) -> Result<(), Refusal> {
        refuse_published(raw, role)?;
        match self.keys.get(raw) {
            None => Ok(()),
            Some(&taken) if taken == role => {
                Err(Refusal::new(Reason::AlreadyExists, format!("the key already serves as {role}")))
            }
            Some(taken) => Err(Refusal::new(
                Reason::KeyInUse,
                format!("the key already serves as {taken}, it cannot serve as {role}"),
            )),
        }
    }

    /// Checks that an invitation stands.
    pub(super) fn invitation(&self, invite: &Name<Invite>, now: Timestamp) -> Result<&Invitation, Refusal> {
        let unknown = |detail: String| Refusal::new(Reason::InviteUnknown, detail);
        let found = self.invites.get(invite);
        let found = found.ok_or_else(|| unknown(format!("invitation `{invite}` is unknown, or was used")))?;
        if found.not_after < now {
            let ended = unknown(format!("the invitation ended at {}, the clock here says {now}", found.not_after));
            return Err(ended.with_skew(end(found.not_after, now)));
        }
        Ok(found)
    }
}

// The doors through which the fold moves.
impl State {
    pub(crate) const fn begin_as(&mut self, inception_sha256: Digest) {
        self.inception_sha256 = inception_sha256;
    }

    pub(crate) fn claim_key(&mut self, raw: [u8; 32], role: &'static str) {
        self.keys.insert(raw, role);
    }

    pub(crate) fn enrol(&mut self, host: Name<Host>, invite: Name<Invite>, index: u64) {
        let labels = self.invites.remove(&invite).map(|invitation| invitation.labels).unwrap_or_default();
        self.hosts.insert(host, HostRecord { labels, standing: HostStanding::Enrolled, joined: index });
        self.claim_key(*host.raw(), Host::WORD);
        if let Ok(key) = host.usable() {
            self.host_keys.keys.insert(host, key);
        }
    }

    pub(crate) fn ban(&mut self, host: Name<Host>) {
        if let Some(record) = self.hosts.get_mut(&host) {
            record.standing = HostStanding::Banned;
        }
        // Its key stays, so that what it asked before can be verified again.
        self.host_keys.banned.insert(host);
    }

    pub(crate) fn stand_by(&mut self, host: Name<Host>, until: Timestamp) {
        let latest = self.standbys.entry(host).or_insert(until);
        *latest = until.max(*latest);
    }

    pub(crate) fn put_warrant(&mut self, rank: Rank, sha256: Digest, log_key: Option<&str>) {
        (self.warrant, self.warrant_sha256) = (rank, Some(sha256));
        if let Some(key) = log_key {
            self.log_key = key.to_owned();
        }
    }

    /// Moves past one recorded entry; a governance entry is the new epoch.
    pub(crate) fn advance(&mut self, index: u64, hash: Digest, governs: bool) {
        (self.next_index, self.last) = (index + 1, hash);
        if governs {
            self.epoch = index;
        }
    }

    pub(crate) fn read_rules_by(&mut self, language: Arc<dyn Language>) {
        self.language = language;
    }

    pub(crate) fn suppose_rules(&mut self, rules: Option<RulesRecord>) -> Option<RulesRecord> {
        std::mem::replace(&mut self.rules, rules)
    }

    pub(crate) const fn put_under(&mut self, law: u64) {
        self.law = law;
    }

    pub(super) fn links_mut(&mut self) -> &mut BTreeMap<LinkKey, LinkSlot> {
        Arc::make_mut(&mut self.links)
    }

    pub(crate) fn touch(&mut self, subject: String, index: u64) {
        Arc::make_mut(&mut self.touched).insert(subject, index);
    }

    // Ids are forgotten once their command could not be judged any more, so that memory stays bounded (I10). What was
    // judged while the clock was behind ended before the log's own time; it is remembered for as long as any.
    pub(crate) fn remember(&mut self, id: Nonce, not_after: Timestamp, now: Timestamp) {
        self.seen.retain(|_, until| *until >= now);
        self.forget_ended(now);
        let not_after = if not_after < now { now.plus(COMMAND_LIFETIME_S) } else { not_after };
        self.seen.insert(id, not_after);
    }
}
