//! What a text of rules may say, what it answers, and how large it may be.

use policy::reason::Reason;
use policy::rules::{Case, Language, Objection, RulesText};
use serde_json::json;

use super::{CaseFile, CedarLanguage, SCHEMA, examined, trial};

fn text(text: &str) -> RulesText {
    RulesText::parse(text).unwrap()
}

// The same text with a line for each word, for a line may not be long.
fn broken(text: &str) -> String {
    text.replace(' ', "\n").replace("1+", "1+\n").replace('(', "(\n").replace('!', "!\n").replace(')', ")\n")
}

fn refused(source: &str) -> String {
    let refusal = CedarLanguage::default().read(&text(source)).unwrap_err();
    assert_eq!(refusal.reason, Reason::RulesMalformed);
    // What people are told says at least as much.
    assert!(!examined(&text(source)).unwrap_err().1.is_empty(), "{source}");
    refusal.detail
}

fn start(labels: &[(&str, &str)]) -> Case {
    let labels: std::collections::BTreeMap<_, _> = labels.iter().copied().collect();
    serde_json::from_value(json!({"host": {"key": "NHOST", "labels": labels}, "runs": {"id": "cart"}})).unwrap()
}

fn binding(builtin: bool) -> Case {
    let answerer = json!({"id": "kv", "builtin": builtin, "issuer": "AISSUER", "sha256": "ab"});
    let binding = json!({"package": "wasi:keyvalue", "version": "0.2.0", "revision": 3, "answerer": answerer});
    Case { binding: serde_json::from_value(binding).unwrap(), ..start(&[("zone", "eu")]) }
}

fn judged(source: &str, case: &Case) -> Result<(), Objection> {
    CedarLanguage::default().read(&text(source)).unwrap().judge(case)
}

fn forbidden(names: &[&str]) -> Result<(), Objection> {
    Err(Objection::Forbidden(names.iter().map(|name| (*name).to_owned()).collect()))
}

#[test]
fn a_rule_forbids_and_what_no_rule_forbids_is_left_to_the_law() {
    let source = "@id(\"b\") forbid(principal, action == Action::\"bind\", resource is Builtin);\n\
                  @id(\"a\") forbid(principal, action, resource is Builtin) when { resource.id == \"kv\" };";
    assert_eq!(judged(source, &binding(true)), forbidden(&["a", "b"]));
    assert_eq!(judged(source, &binding(false)), Ok(()));
    assert_eq!(judged(source, &start(&[])), Ok(()));
    assert_eq!(judged("", &start(&[])), Ok(()));
}

#[test]
fn labels_link_contract_and_component_can_be_read() {
    for condition in [
        "principal.hasTag(\"zone\") && principal.getTag(\"zone\") == \"eu\"",
        "context has link && context.link.revision == 3 && context.link.name == \"default\"",
        "context.contract.namespace == \"wasi\" && context.contract has version && context.contract.version == \"0.2.0\"",
        "context.component.id == \"cart\" && !context.component.provider",
        "resource has issuer && resource.issuer.key == \"AISSUER\"",
        "context.lattice == \"default\" && context.now == 0 && context.assurance == \"host_signed\"",
        "[\"ab\", \"cd\"].contains(resource.sha256) && context.relaxations.isEmpty()",
    ] {
        let source = format!(
            "@id(\"r\") forbid(principal, action == Action::\"bind\", resource is Provider) when {{ {condition} }};"
        );
        assert_eq!(judged(&source, &binding(false)), forbidden(&["r"]), "{condition}");
    }
}

#[test]
fn a_rule_that_fails_when_asked_refuses() {
    let source = "@id(\"overflows\") forbid(principal, action, resource) \
                  when { context.now + 9223372036854775807 == 0 };";
    let later = Case { now: 1, ..start(&[]) };
    assert_eq!(judged(source, &later), Err(Objection::Failed(vec!["overflows".to_owned()])));
    assert_eq!(judged(source, &start(&[])), Ok(()));
    // One that forbids is named, whatever becomes of the others.
    let both = format!("{source}\n@id(\"never\") forbid(principal, action, resource);");
    assert_eq!(judged(&both, &later), forbidden(&["never"]));
    // What is no number of Cedar's cannot be asked.
    assert_eq!(judged(source, &Case { now: u64::MAX, ..start(&[]) }), Err(Objection::Failed(Vec::new())));
}

#[test]
fn a_text_that_permits_is_refused() {
    assert!(refused("permit(principal, action, resource);").contains("only forbid"));
    assert!(refused("@id(\"a\") permit(principal, action, resource);").contains("rule `a`: it permits"));
}

#[test]
fn a_text_with_a_slot_a_stranger_or_no_name_is_refused() {
    assert!(refused("@id(\"a\") forbid(principal == ?principal, action, resource);").contains("slot"));
    for id in ["", "@id(\"\")", "@id(\"A\")", "@id(\"a b\")", "@id(\"1\")", "@id(\"countersign.ground\")"] {
        assert!(refused(&format!("{id} forbid(principal, action, resource);")).contains("named by"), "{id}");
    }
    let twice = "@id(\"a\") forbid(principal, action, resource);";
    assert!(refused(&format!("{twice}{twice}")).contains("two rules have this name"));
}

#[test]
fn a_text_outside_of_the_schema_is_refused_before_it_stands() {
    for condition in
        ["resource.price > 3", "context.nobody", "principal.key > 3", "principal.getTag(\"zone\") == \"eu\""]
    {
        let detail = refused(&format!("@id(\"odd\") forbid(principal, action, resource) when {{ {condition} }};"));
        assert_eq!(detail, "rule `odd` does not fit the schema", "{condition}");
    }
    assert!(refused("@id(\"odd\") forbid(principal is User, action, resource);").contains("`odd`"));
    assert!(refused("@id(\"odd\") forbid(principal, action == Action::\"delete\", resource);").contains("`odd`"));
    assert_eq!(refused("forbid(principal"), "the text does not parse");
}

#[test]
fn a_message_names_the_line_of_the_rule_that_does_not_parse() {
    let source = "// One\n@id(\"a\") forbid(principal, action, resource);\n\n@id(\"b\")\nforbid(principal, action);\n";
    let (_, problems) = examined(&text(source)).unwrap_err();
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(problem.message.starts_with("the rule at line 4: "), "{problem:?}");
}

#[test]
fn a_text_that_is_deep_or_long_inside_is_refused_and_the_largest_is_read_and_asked_on_a_small_stack() {
    let rule = |condition: &str| format!("@id(\"r\") forbid(principal, action, resource) when {{ {condition} }};");
    let nested = |depth: usize| rule(&format!("{}true{}", "(".repeat(depth), ")".repeat(depth)));
    let chain = |link: &str, count: usize| rule(&format!("{}true", link.repeat(count)));
    let sum = |count: usize| rule(&format!("{}0 == 1", "1+".repeat(count)));
    let many = |count: usize| {
        (0..count).map(|n| format!("@id(\"r{n}\")forbid(principal,action,resource);\n")).collect::<String>()
    };
    for (source, why) in [
        (nested(200), "too deep"),
        (nested(5000), "too deep"),
        (chain("true && ", 600), "too long"),
        (chain("if true then false else ", 600), "too long"),
        (sum(8000), "too long"),
        (chain("!", 600), "too long"),
        (many(257), "too many rules"),
    ] {
        // Not a line for each: there may be only so many of them.
        let wrapped: String = broken(&source)
            .split_inclusive('\n')
            .enumerate()
            .map(|(n, word)| if n % 40 == 0 { word.to_owned() } else { word.replace('\n', " ") })
            .collect();
        assert!(refused(&wrapped).contains(why), "{why}");
    }
    let listed: Vec<String> = (0..400).map(|n| format!("\"{n:064}\",\n")).collect();
    let list = rule(&format!("![{}\"\"].contains(context.lattice)", listed.concat()));
    let largest = [nested(14), chain("true && ", 76), chain("if true then false else ", 46), sum(115), many(256), list];
    // Half of what a thread of the runtime has.
    let read = std::thread::Builder::new().stack_size(1024 * 1024).spawn(move || {
        for source in largest.map(|source| broken(&source)) {
            let rules =
                CedarLanguage::default().read(&text(&source)).unwrap_or_else(|why| panic!("{why}: {source:.80}"));
            assert!(!matches!(rules.judge(&binding(true)), Err(Objection::Failed(_))), "{source:.80}");
        }
    });
    read.unwrap().join().unwrap();
}

// A small grammar: an action, a kind of answer, and one or two conditions that hold, do not hold, or fail.
fn drawn(dice: &mut impl FnMut(u64) -> usize, number: usize) -> String {
    let heads = [
        "principal, action, resource",
        "principal, action == Action::\"start\", resource",
        "principal, action == Action::\"bind\", resource is Builtin",
        "principal, action, resource is Provider",
    ];
    let conditions = [
        "principal.hasTag(\"zone\")",
        "!principal.hasTag(\"zone\")",
        "context.now == 1",
        "context.now + 9223372036854775807 == 0",
        "resource.id like \"k*\"",
        "context.lattice == \"default\"",
        "context.assurance == \"supposed\"",
    ];
    let (head, one, two) = (heads[dice(4)], conditions[dice(7)], conditions[dice(7)]);
    let (link, tail) = (["&&", "||"][dice(2)], ["when", "unless"][dice(2)]);
    format!("@id(\"r{number}\") forbid({head}) {tail} {{ {one} {link} {two} }};\n")
}

#[test]
fn a_rule_more_never_turns_a_refusal_into_a_permit() {
    let mut state = 7_u64;
    let mut dice = |end: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((state >> 33) % end).unwrap()
    };
    let mut seen = [0_u32; 3];
    for _ in 0..300 {
        let cases = [start(&[]), start(&[("zone", "eu")]), binding(true), binding(false)];
        let cases = cases.map(|case| Case { now: 1 - u64::from(dice(2) == 0), ..case });
        let mut source = String::new();
        let mut before = cases.clone().map(|_| Ok(()));
        for number in 0..4 {
            source += &drawn(&mut dice, number);
            let after = cases.clone().map(|case| judged(&source, &case));
            for (before, after) in before.iter().zip(&after) {
                assert!(before.is_ok() || after.is_err(), "{source}");
                seen[match after {
                    Ok(()) => 0,
                    Err(Objection::Forbidden(_)) => 1,
                    Err(Objection::Failed(_)) => 2,
                }] += 1;
            }
            before = after;
        }
    }
    assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
}

#[test]
fn a_mangled_text_is_read_the_same_twice_and_never_ends_the_program() {
    let source = include_str!("../../../docs/rules/production-takes-no-builtin.cedar");
    let pieces: Vec<&str> = source.split_inclusive([' ', '\n', '(', '"', '}']).collect();
    let mut state = 3_u64;
    let mut dice = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % end
    };
    let mut stood = 0;
    for _ in 0..500 {
        let mut mangled = pieces.clone();
        for _ in 0..=dice(3) {
            let (at, from) = (dice(mangled.len()), dice(pieces.len()));
            match dice(3) {
                0 => drop(mangled.remove(at)),
                1 => mangled.insert(at, pieces[from]),
                _ => mangled[at] = pieces[from],
            }
        }
        let mangled = text(&mangled.concat());
        let read = || CedarLanguage::default().read(&mangled).map(|rules| rules.judge(&binding(true)));
        let (once, twice) = (read(), read());
        assert_eq!(once, twice);
        assert_eq!(once.is_ok(), examined(&mangled).is_ok());
        stood += u32::from(once.is_ok());
    }
    assert!(stood > 10, "{stood}");
}

#[test]
fn the_same_text_is_read_once_and_answers_the_same() {
    let language = CedarLanguage::default();
    let source = text("@id(\"a\") forbid(principal, action, resource is Builtin);");
    let (first, second) = (language.read(&source).unwrap(), language.read(&source).unwrap());
    assert!(std::sync::Arc::ptr_eq(&first, &second));
    assert_eq!(first.judge(&binding(true)), second.judge(&binding(true)));
}

#[test]
fn what_is_asked_fits_the_schema() {
    let (schema, _) = cedar_policy::Schema::from_cedarschema_str(SCHEMA).unwrap();
    for case in [start(&[("zone", "eu")]), binding(true), binding(false)] {
        let asked = super::ask::asked(&case).unwrap();
        let entities = asked.entities.iter().cloned();
        cedar_policy::Entities::from_entities(entities, Some(&schema)).unwrap();
        let request = &asked.request;
        cedar_policy::Request::new(
            request.principal().unwrap().clone(),
            request.action().unwrap().clone(),
            request.resource().unwrap().clone(),
            request.context().unwrap().clone(),
            Some(&schema),
        )
        .unwrap();
    }
}

#[test]
fn the_shipped_examples_stand_and_their_cases_meet_every_rule_from_both_sides() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules");
    let mut tried = 0;
    for file in std::fs::read_dir(folder).unwrap().flatten() {
        let path = file.path();
        if path.extension().is_none_or(|extension| extension != "cedar") {
            continue;
        }
        let source = text(&std::fs::read_to_string(&path).unwrap());
        assert_eq!(examined(&source).unwrap().1, [], "{}", path.display());
        let cases: CaseFile =
            serde_json::from_slice(&std::fs::read(path.with_extension("cases.json")).unwrap()).unwrap();
        let (trials, coverage) = trial(&source, &cases).unwrap();
        assert!(trials.iter().all(|trial| trial.holds), "{}: {trials:#?}", path.display());
        assert_eq!(coverage.gaps().count(), 0, "{}: {coverage:?}", path.display());
        tried += 1;
    }
    assert_eq!(tried, 3);
}

#[test]
fn asking_twenty_rules_takes_no_time_that_a_start_would_notice() {
    let rule = |n: usize| {
        format!(
            "@id(\"r{n}\") forbid(principal, action, resource is Builtin)\n\
             when {{ principal.hasTag(\"zone\") && principal.getTag(\"zone\") == \"z{n}\" }};\n"
        )
    };
    let rules = CedarLanguage::default().read(&text(&(0..20).map(rule).collect::<String>())).unwrap();
    let (case, rounds) = (binding(true), 2000_u32);
    let began = std::time::Instant::now();
    for _ in 0..rounds {
        assert_eq!(rules.judge(&case), Ok(()));
    }
    let each = began.elapsed() / rounds;
    println!("one binding under 20 rules: {each:?}");
    assert!(each < std::time::Duration::from_millis(50), "{each:?}");
}
