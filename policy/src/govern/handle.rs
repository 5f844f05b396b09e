//! Judges a command whole: who gives it and when, each operation on what the ones before it changed, and whether enough
//! signed. Nothing is changed here.

use super::weight::Need;
use super::{Case, Checked, CommandProposed, Event, Lack, Operation, State, Times, Weighty, end};
use crate::command::{Command, MAX_OPERATIONS};
use crate::digest::Digest;
use crate::envelope::{Document, MAX_ATTACHMENTS};
use crate::examine::Examined;
use crate::name::Lattice;
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;
use crate::wire::COMMAND_LIFETIME_S;

/// What became of a command that is not refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Handled {
    /// What it causes.
    pub events: Vec<Event>,
    /// What it touches.
    pub subjects: Vec<String>,
    /// What it, or the command that it approves, still lacks: then nothing else was caused.
    pub lack: Option<Lack>,
}

// What the operations of a command would cause, and who must sign that.
pub(super) struct Whole {
    pub(super) events: Vec<Event>,
    pub(super) subjects: Vec<String>,
    pub(super) needs: Vec<Need>,
}

impl State {
    /// Judges a command whole: every event it would cause, or the first reason why not.
    ///
    /// # Errors
    /// The reason of the command itself, or of the operation that is refused, with its number.
    pub fn handle(&self, examined: &Examined<Command>, times: impl Into<Times>) -> Result<Handled, Refusal> {
        self.handle_knowing(examined, &[], times)
    }

    /// As [`State::handle`], with what the broker found of configurations.
    ///
    /// # Errors
    /// As [`State::handle`].
    pub fn handle_knowing(
        &self,
        examined: &Examined<Command>,
        found: &[Checked],
        times: impl Into<Times>,
    ) -> Result<Handled, Refusal> {
        let times = times.into();
        let (command, now) = (&examined.document, times.now);
        self.addressed(command, times.judging())?;
        if self.has_seen(command.jti) {
            return Err(Refusal::new(Reason::CommandSeen, format!("command {} was already judged", command.jti)));
        }
        command.bounded()?;
        self.in_turn(command)?;
        let case = Case::of_examined(examined, found, times);
        if let [only @ Operation::ApproveCommand(approve)] = command.operations.as_slice() {
            self.on_basis(only, command.basis)?;
            return self.approve(approve, &case);
        }
        if command.operations.iter().any(|operation| matches!(operation, Operation::ApproveCommand(_))) {
            return Err(Refusal::new(Reason::SchemaMismatch, "an approval is the only operation of its command"));
        }
        case.in_order(command)?;
        let Whole { events, subjects, needs } = self.judge_all(command, &case)?;
        let signer = self.administrators().signer(&command.iss);
        match self.lacks(&needs, std::slice::from_ref(&signer), now) {
            None => Ok(Handled { events, subjects, lack: None }),
            Some((missing, roles)) => {
                self.may_wait(&signer, now)?;
                approvable(examined)?;
                let lack = Lack { id: command.jti, missing, roles, until: command.not_after };
                let about = self.is_about(command);
                let proposed = CommandProposed { sha256: command.sha256(), signer, lack: lack.clone(), about };
                let subjects = vec![format!("command {}", command.jti)];
                Ok(Handled { events: vec![Event::CommandProposed(proposed)], subjects, lack: Some(lack) })
            }
        }
    }

    /// Judges every operation of a command, each on what the ones before it would have changed.
    pub(super) fn judge_all(&self, command: &Command, case: &Case<'_>) -> Result<Whole, Refusal> {
        // A lone operation is judged on the state itself; later ones must see what earlier ones changed.
        if let [only] = command.operations.as_slice() {
            let needs = self.may_act(only, self, command, case)?;
            self.on_basis(only, command.basis)?;
            let event = only.judge(self, &case.of(0))?;
            debug_assert_eq!(only.narrows(), event.narrows(), "an act and what it changes are of one kind");
            return Ok(Whole { events: vec![event], subjects: only.subjects(), needs });
        }
        let mut after = self.clone();
        let mut whole =
            Whole { events: Vec::with_capacity(command.operations.len()), subjects: Vec::new(), needs: Vec::new() };
        for (index, operation) in command.operations.iter().enumerate() {
            let numbered = |refusal: Refusal| refusal.within(format!("operation {}", index + 1));
            whole.needs.extend(self.may_act(operation, &after, command, case).map_err(numbered)?);
            self.on_basis(operation, command.basis).map_err(numbered)?;
            let event = operation.judge(&after, &case.of(index)).map_err(numbered)?;
            debug_assert_eq!(operation.narrows(), event.narrows(), "an act and what it changes are of one kind");
            after.apply(&event, self.next_index());
            whole.events.push(event);
            whole.subjects.extend(operation.subjects());
        }
        Ok(whole)
    }

    // Whether its author has the role that an operation asks for, and how many more must have it. Whom it counts as
    // administrators and how many it asks for is the state before the command; what the act is, the state before the act.
    fn may_act(
        &self,
        operation: &Operation,
        before: &Self,
        command: &Command,
        case: &Case<'_>,
    ) -> Result<Vec<Need>, Refusal> {
        if !self.has_roles() {
            return Ok(Vec::new());
        }
        let (role, record) = (operation.role(), self.administrators().standing(&command.iss, case.now)?);
        if !record.may(role) {
            let roles: Vec<&str> = record.roles.iter().map(|role| role.word()).collect();
            let detail = format!("this takes the role `{}`, `{}` has `{}`", role.word(), command.iss, roles.join(", "));
            return Err(Refusal::new(Reason::RoleMissing, detail));
        }
        // Counted in both states, so that a command cannot lower what it needs on its way.
        let back = self.law() >= REOPENS_SINCE && operation.reopens(before, case);
        let class = operation.weight(before).or_else(|| back.then_some(Weighty::Weakening));
        let persons = class.map_or(1, |class| {
            let own = operation.persons(self).max(operation.persons(before));
            own.max(self.needed(class)).max(before.needed(class))
        });
        Ok(if persons > 1 { vec![Need { role, persons }] } else { Vec::new() })
    }

    /// Whether a command is for this lattice, by an administrator of it, and in time.
    pub(super) fn addressed(&self, command: &Command, now: Timestamp) -> Result<(), Refusal> {
        self.is_meant("the command", &command.aud, command.inception_sha256)?;
        self.administrators().standing(&command.iss, now)?;
        let founders = self.inception().administrators.threshold;
        if founders > 1 && !self.has_roles() {
            let detail = format!("one administrator signed, {founders} must");
            return Err(Refusal::new(Reason::ThresholdUnmet, detail));
        }
        if command.not_after < now || command.not_after > now.plus(COMMAND_LIFETIME_S) {
            let detail = format!(
                "the command may be judged until {}, at most {COMMAND_LIFETIME_S} s ahead; the clock here says {now}",
                command.not_after
            );
            return Err(Refusal::new(Reason::CommandExpired, detail).with_skew(end(command.not_after, now)));
        }
        Ok(())
    }

    /// Refuses what was signed for another lattice, though that have the same name (T82).
    ///
    /// # Errors
    /// `lattice_mismatch`.
    pub fn is_meant(&self, what: &str, name: &Lattice, named: Option<Digest>) -> Result<(), Refusal> {
        let here = self.inception_sha256();
        let detail = match named {
            _ if name != self.lattice() => format!("{what} is for lattice `{name}`, this is `{}`", self.lattice()),
            Some(named) if named != here => {
                format!("{what} is for the lattice `{name}` of {named}, this is the one of {here}")
            }
            _ => return Ok(()),
        };
        Err(Refusal::new(Reason::LatticeMismatch, detail))
    }

    // A plan is of one epoch. What was signed before the clock was acknowledged may have been judged, and its id forgotten
    // while the log's time was ahead (T22).
    fn in_turn(&self, command: &Command) -> Result<(), Refusal> {
        let superseded = |detail: String| Err(Refusal::new(Reason::Superseded, detail));
        match command.planned {
            Some(planned) if planned != self.epoch() => {
                superseded(format!("it carries out a plan of epoch {planned}, the log has come to {}", self.epoch()))
            }
            _ if self.law() >= SIGNED_SINCE && command.iat < self.signed_since => superseded(format!(
                "it was signed at {}, before the clock was acknowledged at {}: sign it again",
                command.iat, self.signed_since
            )),
            _ => Ok(()),
        }
    }

    fn on_basis(&self, operation: &Operation, basis: u64) -> Result<(), Refusal> {
        if operation.narrows() {
            return Ok(());
        }
        if basis > self.epoch() {
            let detail = format!("the command's signer had seen epoch {basis}, this log has come to {}", self.epoch());
            return Err(Refusal::new(Reason::StateRollback, detail));
        }
        let newer = operation.subjects().into_iter().find_map(|subject| {
            let last = self.last_touched(&subject).filter(|last| *last > basis)?;
            Some(format!("`{subject}` changed at {last}, the command's signer had seen {basis}"))
        });
        newer.map_or(Ok(()), |detail| Err(Refusal::new(Reason::Superseded, detail)))
    }

    // Whether administrators have roles under the law that judges: what is older is judged again as it was then.
    const fn has_roles(&self) -> bool {
        self.law() >= ROLES_SINCE
    }
}

impl Command {
    /// Whether it has as many operations as a command may have.
    pub(super) fn bounded(&self) -> Result<(), Refusal> {
        let count = self.operations.len();
        if (1..=MAX_OPERATIONS).contains(&count) {
            return Ok(());
        }
        Err(Refusal::new(Reason::SchemaMismatch, format!("{count} operations, a command has 1 to {MAX_OPERATIONS}")))
    }
}

impl<'a> Case<'a> {
    fn of_examined(examined: &'a Examined<Command>, found: &'a [Checked], times: Times) -> Self {
        let (document, evidence) = (&examined.document, &examined.evidence);
        let (by, attachments) = (&document.iss, document.attachments());
        Self { now: times.now, clock: times.clock, by, evidence, attachments, found, checked: None }
    }

    /// The same, for a command that an approval brings.
    pub(super) fn of_command(&self, examined: &'a Examined<Command>) -> Self {
        let times = Times { now: self.now, clock: self.clock };
        Self { checked: self.checked, ..Self::of_examined(examined, self.found, times) }
    }
}

impl Case<'_> {
    /// Whether the clock lets a command be judged: what only takes away, and what puts the order right, always is (T22).
    pub(super) fn in_order(&self, command: &Command) -> Result<(), Refusal> {
        if command.operations.iter().all(|operation| operation.narrows() || operation.mends()) {
            return Ok(());
        }
        Times { now: self.now, clock: self.clock }.in_order()
    }
}

// Whoever approves sends all of it along, so it must leave room for their own words.
fn approvable(examined: &Examined<Command>) -> Result<(), Refusal> {
    let command = &examined.document;
    let bytes = command.token().len() + command.attachments().iter().map(|piece| piece.len() + 1).sum::<usize>();
    let room = Command::MAX_BYTES - ROOM - command.attachments().len() * 96;
    if bytes <= room && command.attachments().len() < MAX_ATTACHMENTS {
        return Ok(());
    }
    let detail = format!("{bytes} bytes, a command that others must sign has at most {room}");
    Err(Refusal::new(Reason::TokenOversize, detail))
}

const ROLES_SINCE: u64 = 3;
const REOPENS_SINCE: u64 = 4;
const SIGNED_SINCE: u64 = 5;
// An approval's own token.
const ROOM: usize = 16 * 1024;
