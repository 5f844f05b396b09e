//! `rules`: what the operator forbids on top of the law, as a text in Cedar.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use policy::digest::Digest;
use policy::govern::{DeleteRules, Operation, PutRules};
use policy::reason::{Reason, Refusal};
use policy::rules::RulesText;
use serde_json::{Value, json};

use crate::client::Client;
use crate::command::acting::{Acting, Doing, member, with_epoch};
use crate::command::{Globals, files};
use crate::output::{self, Report};
use crate::rules::{CaseFile, Coverage, Problem, SCHEMA, Trial, examined, trial};
use crate::view::{Look, rows, standing};

/// Forbid, on top of the law, what your lattice must not do.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a text: whether it parses, only forbids, and fits the schema
    #[command(after_help = "Exit code 3 when it does not stand.\n\n\
        Examples:\n  countersign rules check rules.cedar\n  countersign rules check rules.cedar --schema")]
    Check {
        /// The text.
        file: PathBuf,
        /// Print the schema too: what rules may speak of.
        #[arg(long)]
        schema: bool,
    },
    /// Put a text in place of the one that stands
    #[command(
        after_help = "Examples:\n  countersign rules put rules.cedar --because 'production takes no builtins'\n  \
        countersign rules put rules.cedar --plan"
    )]
    Put {
        /// The text.
        file: PathBuf,
        #[command(flatten)]
        acting: Acting,
    },
    /// Show the text that stands
    #[command(after_help = "Examples:\n  countersign rules show\n  countersign rules show > rules.cedar")]
    Show,
    /// Delete the text that stands: then the law alone decides
    #[command(
        visible_alias = "rm",
        alias = "del",
        after_help = "Examples:\n  countersign rules delete --because 'wrong lattice'"
    )]
    Delete {
        #[command(flatten)]
        acting: Acting,
    },
    /// Decide the newest starts of the log under another text, and tell which would come out otherwise
    #[command(
        after_help = "Each is decided on the state of its time, under the text that stands now and under FILE.\n\n\
        Examples:\n  countersign rules diff rules.cedar\n  countersign rules diff rules.cedar --last 5000"
    )]
    Diff {
        /// The text.
        file: PathBuf,
        /// How many starts, from the newest back.
        #[arg(long, default_value_t = 1000, value_name = "COUNT")]
        last: u64,
    },
    /// Try a text on written cases, and tell which rules and reasons they met
    #[command(after_help = "Exit code 3 when a case comes out otherwise than its writer expected.\n\n\
        Examples:\n  countersign rules test cases.json --rules rules.cedar\n  \
        countersign rules test cases.json --rules rules.cedar --full")]
    Test {
        /// The cases: a JSON file, see docs/rules.md.
        cases: PathBuf,
        /// The text [default: the one that stands].
        #[arg(long, value_name = "FILE")]
        rules: Option<PathBuf>,
        /// Demand that each rule forbids in one case and is silent in another.
        #[arg(long)]
        full: bool,
    },
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Check { file, schema } => check(&file, schema),
            Command::Put { file, acting } => {
                let text = read(&file)?;
                sound(&text)?;
                let (sha256, put) = (text.sha256().to_string(), Operation::PutRules(PutRules { text }));
                let says = format!("the rules {sha256} stand");
                acting.run(&Client::of(globals)?, None, Doing::one(put, says).with("sha256", sha256))
            }
            Command::Show => {
                let seen = Client::of(globals)?.look(&Look::Rules)?;
                let text = standing(&seen.view)?;
                Ok(Report::new(text.as_str(), with_epoch(seen.view, seen.epoch)))
            }
            Command::Delete { acting } => {
                let client = Client::of(globals)?;
                let seen = client.look(&Look::Rules)?;
                standing(&seen.view)?;
                let sha256 = Digest::parse(&member(&seen.view, "sha256"))?;
                let delete = Operation::DeleteRules(DeleteRules { sha256 });
                let says = format!("the rules {sha256} are deleted; the law alone decides");
                acting.run(&client, Some(seen.epoch), Doing::one(delete, says).with("sha256", sha256.to_string()))
            }
            Command::Diff { file, last } => {
                let text = read(&file)?;
                sound(&text)?;
                let seen = Client::of(globals)?.look(&Look::RulesDiff { text, most: last })?;
                Ok(Report::new(flips(&seen.view), with_epoch(seen.view, seen.epoch)))
            }
            Command::Test { cases, rules, full } => {
                let text = match rules {
                    Some(file) => read(&file)?,
                    None => standing(&Client::of(globals)?.look(&Look::Rules)?.view)?,
                };
                tried(&text, &cases, full)
            }
        }
    }
}

fn read(file: &Path) -> anyhow::Result<RulesText> {
    let within = |refusal: Refusal| refusal.within(format!("`{}`", file.display()));
    let bytes = files::read(file)?;
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| within(Refusal::new(Reason::RulesMalformed, "the text is not UTF-8")))?;
    Ok(RulesText::parse(&text).map_err(within)?)
}

// What the broker would refuse is told here, with the words of the language.
fn sound(text: &RulesText) -> anyhow::Result<()> {
    match examined(text) {
        Ok(_) => Ok(()),
        Err((refusal, problems)) => {
            let told: Vec<String> = problems.iter().map(sentence).collect();
            Err(Refusal::new(refusal.reason, told.join("; ")).into())
        }
    }
}

fn check(file: &Path, schema: bool) -> anyhow::Result<Report> {
    let text = read(file)?;
    let schema = if schema { format!("\n{SCHEMA}") } else { String::new() };
    let list = |problems: &[Problem]| problems.iter().map(|one| format!("  {}\n", sentence(one))).collect::<String>();
    Ok(match examined(&text) {
        Ok((names, odd)) => {
            let told = format!("{} rules: {}\n{}{schema}", names.len(), names.join(", "), list(&odd));
            let members = json!({"sha256": text.sha256(), "rules": names, "problems": odd});
            Report::new(shown_lines(&told), members)
        }
        Err((refusal, problems)) => {
            let members = json!({"sha256": text.sha256(), "problems": problems});
            Report::new(shown_lines(&format!("{}{schema}", list(&problems))), members).refused(refusal)
        }
    })
}

fn shown_lines(text: &str) -> String {
    text.lines().map(|line| output::shown(line) + "\n").collect()
}

fn sentence(problem: &Problem) -> String {
    let note = if problem.harmless { "note: " } else { "" };
    match &problem.rule {
        Some(rule) => format!("{note}rule `{rule}`: {}", problem.message),
        None => format!("{note}{}", problem.message),
    }
}

fn flips(view: &Value) -> String {
    let rows = rows(view, "flips");
    let heading = format!("{} starts decided again, {} come out otherwise\n", member(view, "starts"), rows.len());
    if rows.is_empty() {
        return heading;
    }
    let told = |row: &Value, side: &str| {
        let reason = member(row, &format!("{side}_reason"));
        if reason.is_empty() { member(row, side) } else { reason }
    };
    let cells = rows.iter().map(|row| {
        [member(row, "index"), member(row, "id"), told(row, "before"), told(row, "after"), member(row, "detail")]
    });
    heading + &output::table(["ENTRY", "ID", "NOW", "THEN", "WHY"], cells)
}

fn tried(text: &RulesText, cases: &Path, full: bool) -> anyhow::Result<Report> {
    let within = |refusal: Refusal| refusal.within(format!("`{}`", cases.display()));
    let file: CaseFile = serde_json::from_slice(&files::read(cases)?)
        .map_err(|error| Refusal::new(Reason::SchemaMismatch, format!("no file of cases, see docs/rules.md: {error}")))
        .map_err(within)?;
    let (trials, coverage) = trial(text, &file).map_err(within)?;
    let wrong: Vec<&Trial> = trials.iter().filter(|trial| !trial.holds).collect();
    let gaps: Vec<&str> = coverage.gaps().map(|rule| rule.rule.as_str()).collect();
    let report = Report::new(
        told(&trials, &coverage),
        json!({"sha256": text.sha256(), "cases": trials, "failed": wrong.len(), "coverage": coverage, "gaps": gaps}),
    );
    let refusal = match (wrong.first(), gaps.first()) {
        (Some(first), _) => format!("{} of {} cases, first `{}`", wrong.len(), trials.len(), first.name),
        (None, Some(_)) if full => format!("no case shows rule `{}` from both sides", gaps.join("`, `")),
        (None, _) => return Ok(report),
    };
    Ok(report.refused(Refusal::new(Reason::RuleCase, refusal)))
}

fn told(trials: &[Trial], coverage: &Coverage) -> String {
    let word = |expected| json!(expected).as_str().unwrap_or_default().to_owned();
    let mark = |trial: &Trial| if trial.holds { "ok" } else { "WRONG" }.to_owned();
    let cells = trials
        .iter()
        .map(|trial| [mark(trial), trial.name.clone(), word(trial.expected), word(trial.met), trial.by.join(", ")]);
    let cases = output::table(["", "CASE", "EXPECTED", "MET", "BY"], cells);
    let cells = coverage.rules.iter().map(|one| [one.rule.clone(), one.forbids.to_string(), one.passes.to_string()]);
    let rules = output::table(["RULE", "FORBIDS", "SILENT"], cells);
    let reasons = coverage.reasons.iter().map(|(reason, count)| format!("{} {count}", word(*reason)));
    format!("{cases}\n{rules}\nmet: {}\n", reasons.collect::<Vec<_>>().join(", "))
}
