//! A random world: plain numbers and text, drawn from a seed. How the law sees it is left to `build`.
//!
//! Each part leans towards what permits, so that a world usually fails in no way or in few.

pub(super) const PACKAGES: [&str; 3] = ["wasi:logging", "wasi:keyvalue", "acme:store"];
pub(super) const INTERFACES: [&str; 3] = ["one", "two", "three"];
pub(super) const NAMES: [&str; 3] = ["default", "backup", "audit"];
pub(super) const SCOPES: [&str; 5] = ["*", "wasi:*", "wasi:logging", "acme:*", "acme:store"];
pub(super) const LEGACY: [&str; 2] = ["wasmcloud:builtin:logging", "wasmcloud:builtin:numbergen"];
/// Spelling, track, and order within the track; the first is no version at all.
pub(super) const VERSIONS: [(Option<&str>, Option<&str>, u32); 8] = [
    (None, None, 0),
    (Some("0.2.0"), Some("0.2"), 0),
    (Some("0.2.3"), Some("0.2"), 3),
    (Some("0.3.0"), Some("0.3"), 0),
    (Some("1.0.0"), Some("1"), 0),
    (Some("1.4.2"), Some("1"), 402),
    (Some("0.2.0-draft"), Some("0.2.0-draft"), 0),
    (Some("0.0.7"), Some("0.0.7"), 0),
];
pub(super) const NOW: u64 = 1_795_350_000;
/// The number of a provider that is spoken of and was never admitted; those below it may be.
pub(super) const GHOST: usize = 6;
/// The number of a subject whose bytes are never those that are meant.
pub(super) const IMPOSTER: usize = 7;

/// Everything that a decision depends on.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) issuers: [Option<Issuer>; 4],
    pub(super) contracts: [Option<Contract>; 3],
    /// None is no default, false is `never`, true is `builtin`.
    pub(super) defaults: [Option<bool>; 3],
    pub(super) providers: Vec<Provider>,
    pub(super) links: Vec<Link>,
    pub(super) host: Standing,
    pub(super) component: Component,
    /// The issuer under whom the component was admitted.
    pub(super) admitted_under: usize,
    pub(super) asked: Asked,
    /// The revision under which the component was admitted.
    pub(super) admitted_rev: Option<i32>,
    /// Whether what asks is the very file that was admitted.
    pub(super) same_bytes: bool,
    /// The same subject, admitted under another id later: by whom, and in which revision.
    pub(super) elder: Option<(usize, Option<i32>)>,
    /// What else is admitted: who else might feel what an administrator does.
    pub(super) crowd: Vec<Neighbour>,
}

/// A component of state that nobody asks about; the first is what was admitted as `cart` itself.
#[derive(Debug, Clone)]
pub(super) struct Neighbour {
    pub(super) id: &'static str,
    pub(super) issuer: usize,
    pub(super) imports: Vec<Interfaces>,
    pub(super) retired: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Unknown,
    Good,
    Bad,
}

#[derive(Debug, Clone)]
pub(super) struct Issuer {
    pub(super) scopes: Vec<&'static str>,
    /// Components, providers, contracts.
    pub(super) kinds: [bool; 3],
    pub(super) max_lifetime_s: Option<u64>,
    pub(super) revoked: bool,
    pub(super) retired_at: Option<u64>,
    pub(super) prepared: bool,
    /// The end that its trust was given with.
    pub(super) until: Option<u64>,
    /// The issuer that lent it its say.
    pub(super) lent_by: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) iat: u64,
    pub(super) nbf: Option<u64>,
    pub(super) exp: Option<u64>,
}

#[derive(Debug, Clone)]
pub(super) struct Contract {
    pub(super) issuer: usize,
    pub(super) iat: u64,
    pub(super) exp: Option<u64>,
    pub(super) interfaces: Vec<&'static str>,
    pub(super) versions: Vec<usize>,
    pub(super) issuers: Vec<usize>,
    pub(super) subjects: Vec<usize>,
    pub(super) defaultable: bool,
    /// None, optional, required.
    pub(super) config: u8,
    pub(super) legacy: Vec<&'static str>,
    pub(super) withdrawn: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Component,
    Archive,
    Native,
}

/// The provider of a number; its subject and its bytes are those of that number.
#[derive(Debug, Clone)]
pub(super) struct Provider {
    pub(super) kind: Kind,
    pub(super) issuer: usize,
    pub(super) times: Times,
    pub(super) serves: Vec<Interfaces>,
    pub(super) capid: Option<&'static str>,
    pub(super) retired: bool,
    pub(super) rev: Option<i32>,
    /// The revision in which other bytes of it were admitted later.
    pub(super) newer: Option<i32>,
}

/// What an end of a link was agreed to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pinned {
    Freely,
    /// The bytes that the link names, or those that were admitted as the component.
    Bytes,
    /// The issuer of that number, from a revision up to another.
    Issuer(usize, Option<i32>, Option<i32>),
}

/// A package at a version, with some of its interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interfaces {
    pub(super) package: usize,
    pub(super) version: usize,
    pub(super) interfaces: Vec<&'static str>,
}

#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) component: &'static str,
    pub(super) package: usize,
    pub(super) name: &'static str,
    /// A number beyond the providers is one that was never admitted.
    pub(super) provider: usize,
    /// Whether the link names the subject of another.
    pub(super) misnamed: bool,
    pub(super) config: bool,
    pub(super) end: End,
    pub(super) pin: Pinned,
    pub(super) component_pin: Pinned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Live,
    Tombstone,
    Accepted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Component {
    Unknown,
    Ours,
    Retired,
    AnothersId,
}

#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) lattice_is_ours: bool,
    pub(super) claims: Option<Claims>,
    pub(super) imports: Vec<Interfaces>,
    /// Numbers of providers, those never admitted too; and whether the offer names another's subject.
    pub(super) offers: Vec<(usize, bool)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claims {
    Forged,
    Signed {
        issuer: usize,
        about_us: bool,
        of_a_provider: bool,
        caps: Option<Vec<&'static str>>,
        times: Times,
        rev: Option<i32>,
    },
}

/// A small generator (Steele, Lea and Flood, "Fast splittable pseudorandom number generators"): one seed, one world.
pub(super) struct Dice {
    state: u64,
    // How many times rarer faults are than they say: in half of the worlds most things are well.
    calm: usize,
}

impl Dice {
    pub(super) fn of(number: u64) -> Self {
        Self { state: number, calm: if number.is_multiple_of(2) { 12 } else { 1 } }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn fault(&mut self, one_in: usize) -> bool {
        self.below(one_in * self.calm) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn some_of<T: Copy>(&mut self, from: &[T], miss_one_in: usize) -> Vec<T> {
        from.iter().copied().filter(|_| !self.fault(miss_one_in)).collect()
    }
}

impl Plan {
    pub(super) fn drawn(dice: &mut Dice) -> Self {
        // The version that each package mostly has here.
        let home: [usize; 3] = [dice.pick(&[1, 2, 6]), dice.pick(&[1, 4, 5]), dice.pick(&[0, 4, 7])];
        let issuers = std::array::from_fn(|number| (number < 3 && !dice.fault(32)).then(|| issuer(dice)));
        let contracts = home.map(|home| (!dice.fault(16)).then(|| contract(dice, home)));
        let defaults = std::array::from_fn(|_| (!dice.fault(8)).then(|| !dice.fault(8)));
        let count = if dice.fault(3) { dice.below(GHOST + 1) } else { 3 + dice.below(4) };
        let providers: Vec<_> = (0..count).map(|number| provider(dice, home, number)).collect();
        let links = (0..dice.below(6)).map(|_| link(dice)).collect();
        let asked = asked(dice, home);
        let host = if dice.fault(48) { dice.pick(&[Standing::Unknown, Standing::Bad]) } else { Standing::Good };
        let ill = if dice.fault(50) { dice.below(3) } else { 3 };
        let component = match ill {
            0 => Component::Unknown,
            1 => Component::Retired,
            2 => Component::AnothersId,
            _ => Component::Ours,
        };
        let admitted_under = match &asked.claims {
            Some(Claims::Signed { issuer, .. }) if !dice.fault(48) => *issuer,
            _ => dice.below(3),
        };
        let links = last_of_each(links);
        // Drawn last, so that the rest of each world is what it was without them.
        let crowd = ["cart", "other", "third"].map(|id| neighbour(dice, home, id)).into();
        let mut plan = Self {
            issuers,
            contracts,
            defaults,
            providers,
            links,
            host,
            component,
            admitted_under,
            asked,
            admitted_rev: None,
            same_bytes: true,
            elder: None,
            crowd,
        };
        plan.grow_old(dice);
        plan
    }

    // What time brings: issuers that come, end and lend, and files that are not the ones admitted.
    fn grow_old(&mut self, dice: &mut Dice) {
        let listed: Vec<usize> = (0..4).filter(|number| self.issuers[*number].is_some()).collect();
        for issuer in self.issuers.iter_mut().flatten() {
            issuer.prepared = dice.fault(48);
            issuer.until = dice.fault(12).then(|| dice.pick(&[NOW - 1000, NOW - 50, NOW, NOW + 1000]));
            issuer.lent_by = dice.fault(12).then(|| dice.pick(&listed));
        }
        self.admitted_rev = dice.pick(&[None, Some(1), Some(2)]);
        self.same_bytes = !dice.one_in(4);
        self.elder = dice.fault(8).then(|| (dice.below(3), dice.pick(&[None, Some(1), Some(2), Some(3)])));
        if let Some(Claims::Signed { rev, .. }) = &mut self.asked.claims {
            *rev = if dice.one_in(4) { dice.pick(&[None, Some(1), Some(2)]) } else { self.admitted_rev };
        }
        self.pin_ends(dice);
    }

    fn pin_ends(&mut self, dice: &mut Dice) {
        for provider in &mut self.providers {
            provider.rev = dice.pick(&[None, Some(1), Some(2)]);
            provider.newer = dice.fault(4).then(|| dice.pick(&[2, 3]));
        }
        let signer = |number: usize| self.providers.get(number).map(|provider| provider.issuer);
        for link in &mut self.links {
            let issuer = signer(link.provider).filter(|_| !dice.fault(8));
            link.pin = pinned(dice, issuer);
            let issuer = (!dice.fault(8)).then_some(self.admitted_under);
            link.component_pin = pinned(dice, issuer);
        }
    }
}

fn pinned(dice: &mut Dice, issuer: Option<usize>) -> Pinned {
    const RANGES: [(Option<i32>, Option<i32>); 6] =
        [(None, None), (None, None), (Some(1), Some(3)), (Some(1), None), (None, Some(2)), (Some(3), None)];
    let issuer = issuer.unwrap_or_else(|| dice.below(3));
    let (from, to) = dice.pick(&RANGES);
    match dice.below(8) {
        0 => Pinned::Bytes,
        1 | 2 => Pinned::Issuer(issuer, from, to),
        _ => Pinned::Freely,
    }
}

// What was put last stands.
fn last_of_each(links: Vec<Link>) -> Vec<Link> {
    let mut kept: Vec<Link> = Vec::new();
    for link in links {
        let same =
            |other: &Link| (other.component, other.package, other.name) == (link.component, link.package, link.name);
        kept.retain(|other| !same(other));
        kept.push(link);
    }
    kept
}

fn issuer(dice: &mut Dice) -> Issuer {
    let scopes = if dice.fault(8) { dice.some_of(&SCOPES[1..], 2) } else { vec!["*"] };
    Issuer {
        scopes,
        kinds: std::array::from_fn(|_| !dice.fault(24)),
        max_lifetime_s: dice.fault(16).then(|| dice.pick(&[100, 5000])),
        revoked: dice.fault(32),
        retired_at: dice.fault(16).then(|| dice.pick(&[NOW - 1000, NOW - 50, NOW - 10])),
        prepared: false,
        until: None,
        lent_by: None,
    }
}

fn times(dice: &mut Dice) -> Times {
    let iat = if dice.fault(48) { NOW + 1 } else { dice.pick(&[NOW - 2000, NOW - 100, NOW - 10, NOW]) };
    let nbf = dice.fault(32).then(|| dice.pick(&[NOW - 5, NOW, NOW + 1]));
    let exp = dice.fault(8).then(|| dice.pick(&[NOW, NOW + 2, NOW + 90, NOW + 3000]));
    Times { iat, nbf, exp: exp.filter(|exp| *exp > iat && nbf.is_none_or(|nbf| *exp > nbf)) }
}

fn contract(dice: &mut Dice, home: usize) -> Contract {
    let Times { iat, exp, .. } = times(dice);
    let versions = if dice.fault(16) { dice.some_of(&[1, 3, 4, 6], 2) } else { vec![home] };
    Contract {
        issuer: if dice.fault(48) { 3 } else { dice.below(3) },
        iat,
        exp,
        interfaces: dice.some_of(&INTERFACES, 32),
        versions,
        issuers: dice.some_of(&[0, 1, 2], 8),
        subjects: dice.some_of(&[0, 1, 2, 3, 4, 5, GHOST], 2),
        defaultable: !dice.fault(8),
        config: if dice.fault(2) { dice.pick(&[0, 2]) } else { 1 },
        legacy: dice.some_of(&LEGACY, 2),
        withdrawn: dice.fault(24),
    }
}

// Each mostly serves one package, so that there mostly is one to answer it.
fn provider(dice: &mut Dice, home: [usize; 3], number: usize) -> Provider {
    let kind = dice.pick(&[Kind::Component, Kind::Archive, Kind::Native]);
    // Some archives carry only an old contract id.
    let only_legacy = kind == Kind::Archive && dice.one_in(12);
    let mut serves = Vec::new();
    if !only_legacy {
        serves.push(Interfaces { package: number % 3, ..interfaces(dice, home, number % 3) });
        for _ in 0..[0, 0, 0, 1, 2][dice.below(5)] {
            let package = dice.below(3);
            serves.push(interfaces(dice, home, package));
        }
    }
    Provider {
        kind,
        issuer: if dice.fault(48) { 3 } else { dice.below(3) },
        times: times(dice),
        serves,
        capid: (only_legacy || (kind == Kind::Archive && dice.fault(4))).then(|| dice.pick(&LEGACY)),
        retired: dice.fault(12),
        rev: None,
        newer: None,
    }
}

fn interfaces(dice: &mut Dice, home: [usize; 3], package: usize) -> Interfaces {
    let version = if dice.fault(12) { dice.below(VERSIONS.len()) } else { home[package] };
    let interfaces = dice.some_of(&INTERFACES, 6);
    Interfaces { package, version, interfaces }
}

fn link(dice: &mut Dice) -> Link {
    let package = dice.below(3);
    Link {
        component: if dice.fault(8) { "other" } else { "cart" },
        package,
        name: dice.pick(&["default", "default", "backup", "audit"]),
        provider: if dice.fault(8) { dice.below(GHOST + 1) } else { package },
        misnamed: dice.fault(32),
        config: dice.one_in(3),
        end: if dice.fault(2) { dice.pick(&[End::Tombstone, End::Accepted]) } else { End::Live },
        pin: Pinned::Freely,
        component_pin: Pinned::Freely,
    }
}

fn neighbour(dice: &mut Dice, home: [usize; 3], id: &'static str) -> Neighbour {
    Neighbour { id, issuer: dice.below(4), imports: imports(dice, home), retired: dice.fault(8) }
}

fn imports(dice: &mut Dice, home: [usize; 3]) -> Vec<Interfaces> {
    let mut imports: Vec<Interfaces> = Vec::new();
    for _ in 0..[0, 1, 1, 1, 2, 2, 3][dice.below(7)] {
        let package = dice.below(3);
        let mut import = interfaces(dice, home, package);
        if import.interfaces.is_empty() {
            import.interfaces.push("one");
        }
        if !imports.iter().any(|other| (other.package, other.version) == (import.package, import.version)) {
            imports.push(import);
        }
    }
    imports
}

fn asked(dice: &mut Dice, home: [usize; 3]) -> Asked {
    let ill = if dice.fault(50) { dice.below(2) } else { 2 };
    let claims = match ill {
        0 => None,
        1 => Some(Claims::Forged),
        _ => Some(Claims::Signed {
            issuer: if dice.fault(64) { 3 } else { dice.below(3) },
            about_us: !dice.fault(64),
            of_a_provider: dice.fault(64),
            caps: match dice.below(24) {
                0 => Some(vec!["wasi:logging", "wasi:keyvalue", "acme:store"]),
                1 => Some(vec!["wasmcloud:builtin:logging", "acme:store"]),
                _ => None,
            },
            times: CLAIM_TIMES[if dice.fault(12) { dice.below(6) } else { dice.below(2) }],
            rev: None,
        }),
    };
    let imports = imports(dice, home);
    let mut offers = Vec::new();
    for number in 0..=GHOST {
        // One of the two that serve a package, mostly.
        let offered = if number < 3 { !dice.fault(3) } else { dice.fault(4) };
        if offered {
            offers.push((number, dice.fault(32)));
        }
    }
    Asked { lattice_is_ours: !dice.fault(100), claims, imports, offers }
}

// Few, so that few tokens need a signature: the first ones mostly, then each edge and the moment beyond it.
const CLAIM_TIMES: [Times; 6] = [
    Times { iat: NOW - 100, nbf: None, exp: None },
    Times { iat: NOW - 2000, nbf: None, exp: Some(NOW + 1000) },
    Times { iat: NOW, nbf: Some(NOW), exp: Some(NOW + 50) },
    Times { iat: NOW - 10, nbf: None, exp: Some(NOW + 1) },
    Times { iat: NOW - 100, nbf: None, exp: Some(NOW) },
    Times { iat: NOW - 10, nbf: Some(NOW + 1), exp: None },
];
