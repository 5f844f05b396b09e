//! Has the configurations of a command held to their schemas before it is judged, and seals the values in the folder.

use policy::command::Command;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::examine::Examined;
use policy::govern::{Checked, Operation};
use policy::reason::{Reason, Refusal};

use super::Service;
use crate::config::{Found, Held, Sealed};
use crate::error::Error;

impl Service {
    /// What is found of each configuration that a command would put into force; its values came beside it, or lie here.
    pub(super) async fn find_configured(
        &self,
        command: &Examined<Command>,
        beside: &[(Digest, Vec<u8>)],
    ) -> Result<Vec<Checked>, Error> {
        let (operations, statements) = judged_with(command);
        if !operations.iter().any(may_configure) {
            return Ok(Vec::new());
        }
        let (snapshot, log, sealed) = (self.snapshot().await?, self.log().await?, Sealed::of(&self.folder));
        let (state, operations, statements) = (&snapshot.state, &operations, &statements);
        let held = Held { state, log: &log, operations, statements, beside, sealed: Some(&sealed) };
        let Found { mut checked, fresh } = held.find().await?;
        // Whom the law refuses fills no disk; should the law think otherwise by the time it judges, it holds to this.
        if let Err(refusal) = snapshot.state.handle_knowing(command, &checked, self.clock.now()) {
            for checked in checked.iter_mut().filter(|checked| checked.reason.is_none()) {
                (checked.reason, checked.detail) = (Some(refusal.reason), Some(refusal.brief()));
            }
            return Ok(checked);
        }
        fresh.iter().try_for_each(|(sha256, document)| sealed.keep(*sha256, document))?;
        Ok(checked)
    }
}

// An approval has the command that it approves judged, which came attached; whether it is that one is the law's to say.
fn judged_with(command: &Examined<Command>) -> (Vec<Operation>, Vec<Vec<u8>>) {
    let document = command.document();
    match document.operations.as_slice() {
        [Operation::ApproveCommand(_)] => {
            let approved = Unverified::<Command>::parse(&document.attachments().join(&b'\n'));
            let parts = approved.map(|approved| (approved.says().operations.clone(), approved.attachments().to_vec()));
            parts.unwrap_or_default()
        }
        operations => (operations.to_vec(), document.attachments().to_vec()),
    }
}

fn may_configure(operation: &Operation) -> bool {
    match operation {
        Operation::PutLink(put) => put.config_sha256.is_some(),
        Operation::SwitchLink(_) | Operation::AcceptLink(_) => true,
        _ => false,
    }
}

/// Refuses a reason for a change of links that a terminal or a log reader would act on.
pub(crate) fn refuse_unreadable(command: &Command) -> Result<(), Refusal> {
    let of_links = |operation: &Operation| {
        matches!(
            operation,
            Operation::PutLink(_) | Operation::DeleteLink(_) | Operation::SwitchLink(_) | Operation::AcceptLink(_)
        )
    };
    let plain = command.because.as_deref().is_none_or(|because| !because.chars().any(char::is_control));
    if plain || !command.operations.iter().any(of_links) {
        return Ok(());
    }
    Err(Refusal::new(Reason::SchemaMismatch, "the reason of a change of links holds control characters"))
}
