//! A case as Cedar's request: the host asks, what answers is the resource, everything else is context.

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::LazyLock;

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression as Value,
};
use policy::question::{Assurance, What};
use policy::rules::{Answerer, Case, CaseBinding, CaseRuns};

/// What Cedar is asked.
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) entities: Entities,
}

/// Nothing can be asked, which is a no.
#[derive(Debug)]
pub(super) struct Unaskable;

/// The request of a case.
pub(super) fn asked(case: &Case) -> Result<Asked, Unaskable> {
    let mut world = World::default();
    let labels = case.host.labels.iter().map(|(name, value)| (name.clone(), text(value)));
    let host = world.add(&HOST, &case.host.key, vec![("key", text(&case.host.key))], labels.collect())?;
    let runs = world.runs(&case.runs)?;
    let mut context = vec![
        ("lattice", text(&case.lattice)),
        ("now", number(case.now)?),
        ("assurance", text(assurance(case.assurance))),
        ("relaxations", Value::new_set(case.relaxations.iter().map(|name| text(name)))),
    ];
    let (action, resource) = match &case.binding {
        None => (&START, runs),
        Some(binding) => {
            context.push(("component", Value::new_entity_uid(runs)));
            context.push(("contract", Value::new_entity_uid(world.contract(binding)?)));
            if let Some(revision) = binding.revision {
                let members = vec![("name", text(&binding.link)), ("revision", number(revision)?)];
                let link = world.add(&LINK, &binding.link, members, Vec::new())?;
                context.push(("link", Value::new_entity_uid(link)));
            }
            (&BIND, world.answerer(&binding.answerer)?)
        }
    };
    let context = Context::from_pairs(context.into_iter().map(|(name, value)| (name.to_owned(), value)));
    let action = LazyLock::force(action).clone().ok_or(Unaskable)?;
    let request = Request::new(host, action, resource, context.map_err(|_| Unaskable)?, None);
    let entities = Entities::from_entities(world.entities, None);
    Ok(Asked { request: request.map_err(|_| Unaskable)?, entities: entities.map_err(|_| Unaskable)? })
}

#[derive(Default)]
struct World {
    entities: Vec<Entity>,
    known: HashSet<EntityUid>,
}

impl World {
    fn runs(&mut self, runs: &CaseRuns) -> Result<EntityUid, Unaskable> {
        let members = vec![
            ("id", text(&runs.id)),
            ("subject", text(&runs.subject)),
            ("sha256", text(&runs.sha256)),
            ("issuer", self.issuer(&runs.issuer)?),
            ("provider", Value::new_bool(runs.what == What::StartProvider)),
        ];
        self.add(&COMPONENT, &runs.id, members, Vec::new())
    }

    fn contract(&mut self, binding: &CaseBinding) -> Result<EntityUid, Unaskable> {
        let namespace = binding.package.split(':').next().unwrap_or_default();
        let mut members = vec![
            ("namespace", text(namespace)),
            ("package", text(&binding.package)),
            ("issuer", self.issuer(&binding.contract_issuer)?),
            ("revision", number(binding.contract_revision)?),
        ];
        members.extend(binding.version.as_ref().map(|version| ("version", text(version))));
        self.add(&CONTRACT, &binding.package, members, Vec::new())
    }

    fn answerer(&mut self, answerer: &Answerer) -> Result<EntityUid, Unaskable> {
        let mut members =
            vec![("id", text(&answerer.id)), ("subject", text(&answerer.subject)), ("sha256", text(&answerer.sha256))];
        if let Some(issuer) = &answerer.issuer {
            members.push(("issuer", self.issuer(issuer)?));
        }
        if answerer.builtin {
            members.push(("native", Value::new_bool(answerer.issuer.is_none())));
            return self.add(&BUILTIN, &answerer.id, members, Vec::new());
        }
        self.add(&PROVIDER, &answerer.id, members, Vec::new())
    }

    fn issuer(&mut self, key: &str) -> Result<Value, Unaskable> {
        self.add(&ISSUER, key, vec![("key", text(key))], Vec::new()).map(Value::new_entity_uid)
    }

    fn add(
        &mut self,
        kind: &LazyLock<Option<EntityTypeName>>,
        id: &str,
        members: Vec<(&str, Value)>,
        tags: Vec<(String, Value)>,
    ) -> Result<EntityUid, Unaskable> {
        let kind = kind.as_ref().ok_or(Unaskable)?;
        let uid = EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id));
        if self.known.insert(uid.clone()) {
            let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
            let entity = Entity::new_with_tags(uid.clone(), members, [], tags);
            self.entities.push(entity.map_err(|_| Unaskable)?);
        }
        Ok(uid)
    }
}

fn text(value: &str) -> Value {
    Value::new_string(value.to_owned())
}

fn number(value: u64) -> Result<Value, Unaskable> {
    i64::try_from(value).map(Value::new_long).map_err(|_| Unaskable)
}

const fn assurance(assurance: Assurance) -> &'static str {
    match assurance {
        Assurance::HostSigned => "host_signed",
        Assurance::Supposed => "supposed",
    }
}

fn kind(name: &str) -> Option<EntityTypeName> {
    EntityTypeName::from_str(name).ok()
}

fn action(name: &str) -> Option<EntityUid> {
    kind("Action").map(|kind| EntityUid::from_type_name_and_id(kind, EntityId::new(name)))
}

static HOST: LazyLock<Option<EntityTypeName>> = LazyLock::new(|| kind("Host"));
static ISSUER: LazyLock<Option<EntityTypeName>> = LazyLock::new(|| kind("Issuer"));
static COMPONENT: LazyLock<Option<EntityTypeName>> = LazyLock::new(|| kind("Component"));
static PROVIDER: LazyLock<Option<EntityTypeName>> = LazyLock::new(|| kind("Provider"));
static BUILTIN: LazyLock<Option<EntityTypeName>> = LazyLock::new(|| kind("Builtin"));
static CONTRACT: LazyLock<Option<EntityTypeName>> = LazyLock::new(|| kind("Contract"));
static LINK: LazyLock<Option<EntityTypeName>> = LazyLock::new(|| kind("Link"));
static START: LazyLock<Option<EntityUid>> = LazyLock::new(|| action("start"));
static BIND: LazyLock<Option<EntityUid>> = LazyLock::new(|| action("bind"));
